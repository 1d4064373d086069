"""A table as DATA, with its columns as flags or behind its name: ``labels.csv#label=species&group=patient``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import parse_qsl, urlencode

from selfprompt.errors import UserError

if TYPE_CHECKING:
    from selfprompt.data.columns import Columns

Kind = Literal["image", "text"]
"""What is classified."""

TABLES = (".csv", ".tsv", ".jsonl", ".parquet")
HUB = "hf:"


def is_table(name: str) -> bool:
    """Whether a file is a table by its name."""
    return Path(name).suffix.lower() in TABLES


def has_columns(data: str) -> bool:
    """Whether it is a table, or a folder with one for training."""
    path = Path(data)
    return is_table(data) or any((path / f"train{kind}").is_file() for kind in TABLES)


def with_columns(data: str | None, chosen: dict[str, str]) -> str | None:
    """DATA with the columns that flags choose, as `locate` takes it; they win over those behind a table's name.

    Raises:
        UserError: It is no table, or of the hub and names its columns already.
    """
    if not chosen:
        return data
    flags = ", ".join("--" + name.replace("_", "-") for name in chosen)
    if empty := [name for name, column in chosen.items() if not column]:
        raise UserError(f"--{empty[0].replace('_', '-')} is empty: leave it out, or say which.")
    if data is not None and data.startswith(HUB):
        behind = data.partition("#")[2]
        if set(chosen) <= {"input_column", "label_column"} and all("=" in part for part in behind.split(",") if part):
            return f"{data}{',' if behind else '#'}{','.join(chosen.values())}"
    elif data is not None and has_columns((found := apart(data))[0]):
        columns = found[1].model_dump(exclude_none=True) | chosen
        return f"{found[0]}#{urlencode({name.removesuffix('_column'): column for name, column in columns.items()})}"
    raise UserError(
        f"{flags} cannot be taken with DATA {data}: give a table ({', '.join(TABLES)}), or hf:NAME with the label or "
        f"input column alone."
    )


def apart(data: str) -> tuple[str, Columns]:
    """The file and the columns in ``FILE#label=NAME&...``; a file that is there is taken as it is.

    Raises:
        UserError: What stands behind the file names no columns.
    """
    from selfprompt.data.columns import Columns  # which is built with pydantic; sources are listed without

    file, mark, behind = data.rpartition("#")
    if not mark or not has_columns(file) or Path(data).exists():
        return data, Columns()
    chosen = dict(parse_qsl(behind))
    known = {name.removesuffix("_column"): name for name in Columns.model_fields}
    if not chosen or not chosen.keys() <= known.keys():
        raise UserError(f"{data} names no columns behind #: write {file}#label=NAME, with {', '.join(known)}.")
    return file, Columns(**{known[name]: column for name, column in chosen.items()})
