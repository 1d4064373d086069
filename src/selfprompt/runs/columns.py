"""The columns of a run's table, for what other tables are asked of its adapter."""

from __future__ import annotations

from pathlib import Path

from selfprompt.data.rows import names_in, read_rows
from selfprompt.data.tables import HUB, apart, is_table, with_columns
from selfprompt.data.text_tables import flat_rows
from selfprompt.runs.config import NAME, read_run


def as_read(data: str, run: str | Path) -> str:
    """DATA with the columns that a run's own table is read by, where it is a table that has them and names no others.

    Args:
        data: What `load_dataset` takes.
        run: A folder; without a run in it, nothing is known.

    Raises:
        UserError: The run or the table is damaged.
    """
    if data.startswith(HUB):
        return data
    file, own = apart(data)
    path = Path(file)
    if not is_table(file) or not path.is_file() or not (Path(run) / NAME).is_file():
        return data
    config = read_run(Path(run))
    _, theirs = apart(config.data)
    chosen = theirs.model_dump(exclude_none=True, exclude=set(own.model_dump(exclude_none=True)))
    if not chosen:
        return data
    there = names_in(path, flat_rows(path) if config.protocol.inputs == "text" else read_rows(path))

    def fits(kind: str, column: str) -> bool:
        if kind == "label_separator":
            return own.label_column is None
        return column in there or {*column.split(",")} <= {*there}

    return with_columns(data, {kind: column for kind, column in chosen.items() if fits(kind, column)}) or data
