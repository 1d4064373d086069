"""Which columns of a table are read."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Columns(BaseModel):
    """Columns of a table; those left open are found by their names.

    Args:
        input_column: Column of the files, relative to the table's folder (image, file, path, ...), or of the texts
            (text, sentence, ...); two of a pair of texts with a comma between.
        label_column: Column of the classes' names (label, class, target, ...). Where an example may have several, a
            column of lists (.jsonl, .parquet), one with a label_separator, or one column a class with 0 or 1 in it,
            with commas between their names.
        label_separator: What stands between several labels in a cell, such as |; an empty cell has none.
        split_column: Column that says train, val or test (split); without one, splits are cut.
        group_column: Column of what belongs together, such as a patient: a group is in one split alone (group).
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    input_column: str | None = None
    label_column: str | None = None
    label_separator: str | None = None
    split_column: str | None = None
    group_column: str | None = None
