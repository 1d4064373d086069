"""Texts on disk: a table, a folder of one table a split (GLUE, SuperGLUE, LM-BFF, AG News), or ``class/*.txt``."""

from __future__ import annotations

import logging
import re
from pathlib import Path

from selfprompt.data import tree
from selfprompt.data.columns import Columns
from selfprompt.data.datasets import Dataset
from selfprompt.data.rows import FIX, column_names
from selfprompt.data.tables import Kind, is_table
from selfprompt.data.text_tables import FILES, ONE, SPLIT_NAMES, by_split, entries, likely, split_named
from selfprompt.data.texts import Entry, dataset_of
from selfprompt.data.tree import holds_images, subfolders
from selfprompt.errors import UserError
from selfprompt.files import read_names, read_text

logger = logging.getLogger("selfprompt")

UNLABELLED = ("unsup", "unlabeled", "unlabelled")
EXAMPLE = "such as positive/1.txt, or one train.csv with the columns text and label"


def kind_of(data: Path, columns: Columns) -> Kind | None:
    """What a table or a folder holds, by the names of its columns and files; None where these do not tell."""
    if data.is_dir():
        tables = any(split_named(stem(path)) and is_table(path.name) for path in data.iterdir())
        texts = tables or any(text_files(child) for child in class_folders(data))
        return None if texts == holds_images(data) else "text" if texts else "image"
    there = [name.lower() for name in column_names(data)]
    chosen = [name.lower() for name in (columns.input_column or "").split(",") if name]
    images = any(name in FILES for name in chosen or there)
    texts = len(chosen) > 1 or chosen[0] in ONE if chosen else bool(likely(there))
    return None if texts == images else "text" if texts else "image"


def load_texts(data: Path, columns: Columns | None = None) -> Dataset:
    """A table or a folder of texts; where a split has no labels, see `labelled`.

    Raises:
        UserError: It cannot be read, has no columns that tell, or from `dataset_of`.
    """
    return dataset_of(name_of(data), parts_of(data, columns or Columns()), data, class_names(data))


def name_of(data: Path) -> str:
    """The name of a data set; of few shots (``SST-2/16-42``) with the task's."""
    path = data.resolve()
    if data.is_dir():
        return f"{path.parent.name}/{path.name}" if re.fullmatch(r"\d+-\d+", path.name) else path.name
    return path.stem


def class_names(data: Path) -> dict[str, str]:
    """The names in a folder's classes.txt, for labels that count from 1 (AG News)."""
    path = data / "classes.txt"
    return {str(i): name for i, name in enumerate(read_names(path, FIX), 1)} if path.is_file() else {}


def parts_of(data: Path, columns: Columns) -> dict[str, list[Entry]]:
    """The entries of each split.

    Raises:
        UserError: A file cannot be read, or nothing tells what is what.
    """
    if not data.is_dir():
        return by_split(data, entries(data, columns), columns)
    if tables := split_tables(data):
        if "train" not in tables:
            raise UserError(
                f"{data} has {', '.join(parts[0].name for parts in tables.values())}, but no train table: add one."
            )
        known = [path for parts in tables.values() for path in parts]
        others = [p.name for p in sorted(data.iterdir()) if is_table(p.name) and p not in known]
        if others:
            logger.warning("%s: %s left out.", data, f"{', '.join(others)} {'is' if len(others) == 1 else 'are'}")
        return {
            split: [e for path in parts for e, _ in entries(path, columns, split)] for split, parts in tables.items()
        }
    if columns != Columns():
        raise UserError(f"{data} has no table, and so no columns: leave them out.")
    return of_files(data)


PART = re.compile(r"-\d{5}-of-\d{5}$")
"""What the hub's files of one table end with: train-00000-of-00002.parquet."""


def stem(path: Path) -> str:
    """A table's name, without what tells its parts apart."""
    return PART.sub("", path.stem)


def split_tables(folder: Path) -> dict[str, list[Path]]:
    """The table of each split in a folder, or its parts in their order.

    Raises:
        UserError: Two are of one split.
    """
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.iterdir()):
        split = split_named(stem(path))
        if split and is_table(path.name) and path.is_file():
            before = found.setdefault(split, [])
            if before and (stem(before[0]) != stem(path) or stem(path) == path.stem):
                raise UserError(f"{before[0]} and {path} are of one split: remove one.")
            before.append(path)
    return {split: found[split] for split in SPLIT_NAMES if split in found}


def class_folders(root: Path) -> list[Path]:
    """The class folders of a folder, of its training split where it has one."""
    for child in subfolders(root):
        if split_named(child.name) == "train" and any(text_files(below) for below in subfolders(child)):
            return subfolders(child)
    return subfolders(root)


def text_files(folder: Path) -> list[Path]:
    """The text files directly in a folder."""
    return sorted(Path(e.path) for e in tree.entries(folder) if e.name.lower().endswith(".txt") and e.is_file())


def of_files(root: Path) -> dict[str, list[Entry]]:
    """Entries of ``CLASS/*.txt``, or of such below folders of splits."""
    train = class_folders(root)
    nested = bool(train) and train[0].parent != root
    folders = {"train": train}
    if nested:
        named = {split_named(child.name): child for child in subfolders(root)}
        folders = {split: subfolders(named[split]) for split in SPLIT_NAMES if split in named}
    parts: dict[str, list[Entry]] = {}
    wrong: list[UserError] = []
    for split, classes in folders.items():
        for folder in classes:
            files = text_files(folder)
            if folder.name.lower() in UNLABELLED:
                logger.warning("%s has texts without labels: they are left out.", folder)
            elif not files:
                raise UserError(f"{folder} has no .txt files: add some, or remove the folder.")
            else:
                part = parts.setdefault(split, [])
                part += [Entry(str(path), (contents(path, wrong),), folder.name) for path in files]
    if wrong:
        more = f" ({len(wrong) - 1:,} more cannot, either)" if len(wrong) > 1 else ""
        raise UserError(f"{wrong[0]}{more}")
    if not parts.get("train"):
        raise UserError(f"{root} has no texts in class folders and no table of a split: add some, {EXAMPLE}.")
    return parts


def contents(path: Path, wrong: list[UserError]) -> str:
    """The text of a file; why it cannot be read is added to what is wrong."""
    try:
        return read_text(path, "save it as UTF-8").strip()
    except UserError as error:
        wrong.append(error)
        return ""
