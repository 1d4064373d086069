"""Labels in the cells of a table: one, several in a cell, or a column of 0 and 1 for each class."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from selfprompt.data.columns import Columns
from selfprompt.data.rows import Row, as_names, as_text
from selfprompt.errors import UserError
from selfprompt.scores.several import SEPARATOR

logger = logging.getLogger("selfprompt")

Label = str | tuple[str, ...]
"""The label of an example; of those that may have several, all of its labels."""

FLAGS = {"0": False, "1": True, "false": False, "true": True, "0.0": False, "1.0": True}
SEPARATORS = "|;"


def class_columns(path: Path, there: Sequence[str], columns: Columns) -> list[str]:
    """The columns of classes that ``--label-column a,b,c`` names; none where it names one column, or is left out.

    Raises:
        UserError: One of them is not there, or stands twice; or a separator of labels is given, too.
    """
    chosen = columns.label_column
    if chosen is None or chosen in there or "," not in chosen:
        return []
    names = [name.strip() for name in chosen.split(",")]
    if odd := next((name for name in names if name not in there or names.count(name) > 1), None):
        why = f"has no column {odd!r}" if odd not in there else f"is asked for the column {odd!r} twice"
        raise UserError(f"{path} {why} (--label-column), but {', '.join(there)}.")
    if columns.label_separator is not None:
        raise UserError(f"--label-column {chosen} names a column for each class: leave --label-separator out.")
    return names


def flagged(row: Row, columns: Sequence[str]) -> tuple[str, ...]:
    """Which of some columns of classes have a 1.

    Raises:
        UserError: One has neither 0 nor 1.
    """
    found = {name: FLAGS.get(str(row.cells.get(name)).strip().lower()) for name in columns}
    if odd := next((name for name, value in found.items() if value is None), None):
        raise UserError(f"{row.where} has {row.cells.get(odd)!r:.40} in {odd}: write 0 or 1.")
    return tuple(name for name, value in found.items() if value)


def in_cells(rows: Sequence[Row], column: str, separator: str | None) -> list[tuple[str, ...]] | None:
    """The labels in a column that may hold several in a cell: lists, or what a separator parts; None if it may not.

    Raises:
        UserError: A list holds something else than labels, or one label twice.
    """
    cells = [row.cells.get(column) for row in rows]
    if separator is None and not any(isinstance(cell, list) for cell in cells):
        if found := parted(cells):
            logger.warning(
                "%r is read as one label: --label-separator '%s' reads several in a cell, and none in an empty one.",
                *found[::-1],
            )
        return None
    every: list[list[Any]] = []
    for cell in cells:
        parts = [] if cell is None else cell if isinstance(cell, list) else [cell]
        if separator is not None and not isinstance(cell, list):
            parts = [label for part in parts for label in as_text(part).split(separator)]
        every.append(parts)
    names, found = iter(as_names(part for parts in every for part in parts)), []
    for row, cell, parts in zip(rows, cells, every):
        labels = tuple(filter(None, islice(names, len(parts))))
        if any(isinstance(part, (list, dict)) for part in parts) or len(set(labels)) < len(labels):
            raise UserError(f"{row.where} has {cell!r:.60} in {column}: write each label once.")
        found.append(labels)
    return found


def parted(cells: Sequence[Any]) -> tuple[str, Any] | None:
    """What seems to part several labels in cells, and the first of these; None where nothing does."""
    return next(((mark, cell) for mark in SEPARATORS for cell in cells if mark in str(cell)), listed(cells))


def listed(cells: Sequence[Any]) -> tuple[str, Any] | None:
    """A comma, and a cell that it parts into labels which are cells themselves, if there is one: in a class's own
    name a comma is no rarity."""
    whole = {str(cell).strip() for cell in cells}
    parts = ((cell, [part.strip() for part in str(cell).split(",")]) for cell in cells if "," in str(cell))
    return next(((",", cell) for cell, own in parts if whole.issuperset(own)), None)


def numbered(labels: Sequence[tuple[str, ...]], names: Sequence[str], several: bool) -> np.ndarray:
    """Labels as `Examples` has them: (N,) class indices, or (N, C) booleans where an example may have several."""
    number = {name: i for i, name in enumerate(names)}
    if not several:
        return np.array([number[own[0]] for own in labels], dtype=np.int64)
    found = np.zeros((len(labels), len(names)), dtype=bool)
    for row, own in zip(found, labels):
        row[[number[name] for name in own]] = True
    return found


def joined(label: Label | None) -> str | None:
    """The label of an example in one string."""
    return SEPARATOR.join(label) if isinstance(label, tuple) else label
