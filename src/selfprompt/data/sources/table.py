"""A table of files and labels: ``.csv``, ``.tsv``, ``.jsonl`` or ``.parquet``."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from selfprompt.data.cells import class_columns, flagged, in_cells, numbered, parted
from selfprompt.data.columns import Columns
from selfprompt.data.datasets import Dataset
from selfprompt.data.examples import Examples
from selfprompt.data.images import URL
from selfprompt.data.pairs import IMAGE_COLUMNS, LABEL_COLUMNS
from selfprompt.data.rows import (
    FIX,
    Row,
    as_names,
    as_text,
    in_order,
    misnamed,
    names_of,
    read_rows,
    splits_of,
    without_column,
)
from selfprompt.errors import UserError

NAMES = {
    "input": (*IMAGE_COLUMNS, "file", "filename", "file_name", "filepath", "path"),
    "label": LABEL_COLUMNS,
    "split": ("split",),
    "group": ("group",),
}


def load_table(path: Path, columns: Columns | None = None) -> Dataset:
    """Read a table of images: a column of files, or in Parquet of what they hold, one of labels, and perhaps one of
    splits and one of groups.

    Classes are the labels of the training rows, or of all where there are none, sorted: as numbers where all are
    whole ones, else as texts. Rows may have several labels (see `Columns`); columns of classes keep their order.

    Args:
        path: The table; files in it are relative to its folder.
        columns: Those that are meant, where their names do not tell.

    Raises:
        UserError: It cannot be read, has no such columns, or several that could be meant; a cell is empty, a file is
            not there, or stands in two rows; a split has an unknown name or class, or a group is in two splits.
    """
    rows = list(read_rows(path))
    there, columns = names_of(rows), columns or Columns()
    classes = class_columns(path, there, columns)
    found = columns_of(path, there, columns, [kind for kind in NAMES if kind != "label" or not classes])
    inputs = images_of(path, rows, found["input"])
    several = [flagged(row, classes) for row in rows] if classes else None
    several = several or in_cells(rows, found["label"], columns.label_separator)
    labels = several if several is not None else [(label,) for label in as_names(labels_of(rows, found["label"]))]
    groups = np.array(as_names(texts_of(rows, found["group"]))) if "group" in found else None
    parts = {"train": list(range(len(rows)))}
    if "split" in found:
        parts = splits_of(path, rows, texts_of(rows, found["split"]))
    if groups is not None:
        refuse_shared_groups(path, groups, parts)
    trained = {label for i in parts["train"] or range(len(rows)) for label in labels[i]}
    names = [name for name in classes if name in trained] or in_order(trained)
    if len(names) < 2:
        one = f"the one class {names[0]}" if names else "no class"
        raise UserError(f"{path} has {one} to train on, and a classifier needs two: add another.")
    strange = [(i, label) for part in parts.values() for i in part for label in labels[i] if label not in trained]
    if strange or (strange := [(0, name) for name in classes if name not in trained]):
        where = f"{path} has the column" if strange[0][1] in classes else f"{rows[strange[0][0]].where} has the class"
        raise UserError(f"{where} {strange[0][1]}, of which there is no training row: add one, or remove it.")

    def examples(part: list[int]) -> Examples:
        own = None if groups is None else groups[part]
        known = numbered([labels[i] for i in part], names, several is not None)
        return Examples([inputs[i] for i in part], known, own)

    given = texts_of(rows, found["input"]) if isinstance(inputs[0], Path) else [os.sep]
    inside = not any(os.path.isabs(name) or ".." in Path(name).parts for name in given)
    return Dataset(
        path.stem,
        tuple(names),
        **{split: examples(part) for split, part in parts.items()},
        licence="the user's own",
        root=path.parent if inside else None,
        inputs="image",
        table=path,
    )


def columns_of(
    path: Path, there: Sequence[str], chosen: Columns, kinds: Sequence[str] = tuple(NAMES)
) -> dict[str, str]:
    """The column of each kind, chosen or found by its name; splits and groups are there or not."""
    found = {}
    for kind in kinds:
        flag, names = f"--{kind}-column", NAMES[kind]
        wanted = getattr(chosen, f"{kind}_column")
        likely = [name for name in there if name.lower() in names] if wanted is None else [wanted]
        if wanted is not None and wanted not in there:
            raise misnamed(path, wanted, there, flag)
        if len(likely) > 1:
            raise UserError(f"{path} has the {kind} columns {' and '.join(likely)}: choose one ({flag}).")
        if likely:
            found[kind] = likely[0]
        elif kind in ("input", "label"):
            raise without_column(path, kind, there, flag)
    return found


def labels_of(rows: Sequence[Row], column: str) -> list[str]:
    """The one label of each row."""
    found = parted([row.cells.get(column) for row in rows])
    if found is None:
        return texts_of(rows, column)
    none = f"let an empty cell have no label (--label-separator '{found[0]}')"
    return texts_of(rows, column, f"fill it in, or {none}")


def texts_of(rows: Sequence[Row], column: str, fix: str = "fill it in, or remove the row") -> list[str]:
    """The cells of a column as texts.

    Args:
        rows: The table's.
        column: Its name.
        fix: What to do about an empty one.

    Raises:
        UserError: One is empty, or holds several values.
    """
    texts = []
    for row in rows:
        cell = row.cells.get(column)
        if isinstance(cell, dict) and cell.keys() == {"bytes", "path"}:  # as the hub has images that are files
            cell = cell["path"]
        if isinstance(cell, (list, dict)):
            raise UserError(f"{row.where} has several values in {column}, and one is wanted.")
        text = as_text(cell)
        if not text:
            raise UserError(f"{row.where} has nothing in {column}: {fix}.")
        texts.append(text)
    return texts


def held_in(row: Row, column: str) -> dict[str, Any] | None:
    """The image that a cell holds, as Parquet files of the hub have it: its bytes; its name is where it stands."""
    cell: Any = row.cells.get(column)
    content = cell.get("bytes") if isinstance(cell, dict) else cell
    return {"bytes": content, "path": Path(row.where).name} if isinstance(content, bytes) else None


def images_of(path: Path, rows: Sequence[Row], column: str) -> list[Path | dict[str, Any]]:
    """The images of a column: files that its cells name, or what they hold.

    Raises:
        UserError: As of `texts_of` and `files_of`; or some cells hold an image, and others do not.
    """
    held = [held_in(row, column) for row in rows]
    if not any(held):
        return [*files_of(path, rows, texts_of(rows, column))]
    if lost := next((row.where for row, image in zip(rows, held) if image is None), None):
        raise UserError(f"{lost} holds no image in {column}, as others do: {FIX}.")
    return [image for image in held if image is not None]


def file_named(path: Path, row: Row, name: str) -> Path:
    """The file that a cell of a table's row names.

    Raises:
        UserError: It names a URL.
    """
    if URL.match(name):
        raise UserError(
            f"{row.where} names the URL {name!r}, which is not downloaded: download it, and name the file."
        )
    return path.parent / name


def files_of(path: Path, rows: Sequence[Row], names: Sequence[str]) -> list[Path]:
    """The files that cells name, each there and in one row."""
    files = [file_named(path, row, name) for row, name in zip(rows, names)]
    if lost := [i for i, file in enumerate(files) if not file.is_file()]:
        one, more = lost[0], f" (and {len(lost) - 1:,} more)" if len(lost) > 1 else ""
        raise UserError(f"{rows[one].where} names {names[one]!r}, and there is no file {files[one]}{more}: {FIX}.")
    first: dict[str, int] = {}
    for i, file in enumerate(files):
        if (before := first.setdefault(os.path.realpath(file), i)) != i:
            raise UserError(f"{rows[before].where} and {rows[i].where} are of one file ({names[i]}): remove one.")
    return files


def refuse_shared_groups(path: Path, groups: np.ndarray, parts: Mapping[str, list[int]]) -> None:
    """Refuse a group that the table itself puts into two splits."""
    places: dict[str, str] = {}
    for split, part in parts.items():
        for group in dict.fromkeys(groups[part]):
            if (before := places.setdefault(group, split)) != split:
                raise UserError(f"{path} has the group {group} in {before} and in {split}: put it into one of them.")
