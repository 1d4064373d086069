"""Which columns of a table are read, as flags and behind its name: ``labels.csv#label=species&group=patient``."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import parse_qsl, urlencode

from pydantic import BaseModel, ConfigDict

from selfprompt.errors import UserError

TABLES = (".csv", ".tsv", ".jsonl", ".parquet")
HUB = "hf:"


class Columns(BaseModel):
    """Columns of a table; those left open are found by their names.

    Args:
        input_column: Column of the files, relative to the table's folder (image, file, path, ...).
        label_column: Column of the classes' names (label, class, target, ...).
        split_column: Column that says train, val or test (split); without one, splits are cut.
        group_column: Column of what belongs together, such as a patient: a group is in one split alone (group).
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    input_column: str | None = None
    label_column: str | None = None
    split_column: str | None = None
    group_column: str | None = None


def is_table(name: str) -> bool:
    """Whether a file is a table by its name."""
    return Path(name).suffix.lower() in TABLES


def with_columns(data: str | None, chosen: dict[str, str]) -> str | None:
    """DATA with the columns that flags choose, as `locate` takes it.

    Raises:
        UserError: It is no table, or names its columns already.
    """
    if not chosen:
        return data
    flags = ", ".join("--" + name.replace("_", "-") for name in chosen)
    if data is not None and data.startswith(HUB):
        if set(chosen) <= {"input_column", "label_column"} and "#" not in data:
            return f"{data}#{','.join(chosen.values())}"
    elif data is not None and is_table(data):
        return f"{data}#{urlencode({name.removesuffix('_column'): column for name, column in chosen.items()})}"
    raise UserError(
        f"{flags} cannot be taken with DATA {data}: give a table ({', '.join(TABLES)}), or hf:NAME with the label or "
        f"input column alone."
    )


def apart(data: str) -> tuple[str, Columns]:
    """The file and the columns in ``FILE#label=NAME&...``; a file that is there is taken as it is.

    Raises:
        UserError: What stands behind the file names no columns.
    """
    file, mark, behind = data.rpartition("#")
    if not mark or not is_table(file) or Path(data).exists():
        return data, Columns()
    chosen = dict(parse_qsl(behind))
    known = [name.removesuffix("_column") for name in Columns.model_fields]
    if not chosen or not set(chosen) <= set(known):
        raise UserError(f"{data} names no columns behind #: write {file}#label=NAME, with {', '.join(known)}.")
    return file, Columns(**{f"{name}_column": column for name, column in chosen.items()})
