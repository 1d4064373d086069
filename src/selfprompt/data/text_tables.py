"""Tables of texts: which columns hold what, by their usual names or as they are chosen."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from selfprompt.data import layout
from selfprompt.data.cells import Label, class_columns, flagged, in_cells
from selfprompt.data.columns import Columns
from selfprompt.data.pairs import IMAGE_COLUMNS, LABEL_COLUMNS
from selfprompt.data.rows import (
    Row,
    as_names,
    as_text,
    misnamed,
    names_in,
    names_of,
    read_rows,
    splits_of,
    without_column,
)
from selfprompt.data.texts import Entry
from selfprompt.errors import UserError

logger = logging.getLogger("selfprompt")

SPLIT_NAMES = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation", "dev", "dev_matched", "validation_matched"),
    "test": ("test", "testing", "test_matched"),
}
PAIRS = (
    ("sentence1", "sentence2"),
    ("premise", "hypothesis"),
    ("question", "passage"),
    ("question", "sentence"),
    ("question1", "question2"),
    ("#1 string", "#2 string"),
    ("text1", "text2"),
    ("text_a", "text_b"),
    ("text", "text2"),
)
ONE = ("text", "sentence", "review", "content", "document", "tweet", "comment", "definition", "question")
LABELS = (*LABEL_COLUMNS, "gold_label", "is_duplicate", "quality", "sentiment", "category")
FILES = (*IMAGE_COLUMNS, "file", "filename", "file_name", "filepath", "path")


def entries(path: Path, columns: Columns, split: str = "train") -> list[tuple[Entry, Row]]:
    """The entries of a table, and their rows; a label may be missing beside the training split."""
    rows = list(flat_rows(path))
    there = names_of(rows)
    inputs = inputs_of(path, there, columns.input_column)
    classes = class_columns(path, there, columns)
    label = None if classes else the(path, "label", there, LABELS, columns.label_column, needed=split == "train")
    several = None if label is None else in_cells(rows, label, columns.label_separator)
    group = the(path, "group", there, ("group",), columns.group_column)
    one = None if label is None or several is not None else as_names(text_in(row, label) for row in rows)
    groups = None if group is None else as_names(text_in(row, group) for row in rows)
    if len(inputs) > 2:
        logger.warning("%s: the texts of %d columns are joined.", path, len(inputs))
    found = []
    for i, row in enumerate(rows):
        texts = texts_in(row, inputs)
        own = None if groups is None else groups[i]
        marked: Label | None
        if classes or several is not None:
            marked = several[i] if several is not None else flagged(row, classes)
        else:
            marked = None if one is None else one[i]
        disagreed = marked == "-" and label == "gold_label"  # of annotators, in SNLI and MultiNLI
        found.append((Entry(row.where, texts, None if marked == "" or disagreed else marked, own or None), row))
    return found


def unlabelled(path: Path, columns: Columns) -> Iterator[tuple[Row, tuple[str, ...]]]:
    """Each row of a table of texts, and its text; as they are asked for, and without a look at labels."""
    inputs = inputs_of(path, names_in(path, flat_rows(path)), columns.input_column)
    for row in flat_rows(path):
        yield row, texts_in(row, inputs)


def flat_rows(path: Path) -> Iterator[Row]:
    """The rows of a table, as `flat` has them."""
    for row in read_rows(path, texts=True):
        yield from flat(row)


def texts_in(row: Row, columns: Sequence[str]) -> tuple[str, ...]:
    """The one text in some columns, or both of two."""
    cells = [text_in(row, name) for name in columns]
    return (" ".join(cells),) if len(cells) > 2 else tuple(cells)


def flat(row: Row) -> list[Row]:
    """A row as it is; of SuperGLUE's tasks, texts as they are asked about.

    One of MultiRC is a row for each answer; one of WiC has the word behind the second sentence, one of WSC the noun
    and the pronoun behind the text, one of COPA both choices behind the premise and the question.
    """
    cells = row.cells
    if {"premise", "choice1", "choice2", "question"} <= cells.keys():
        asked = f"{cells['premise']} {cells['question']}?"
        return [Row(row.where, {**others(cells), "text": asked, "text2": f"{cells['choice1']} {cells['choice2']}"})]
    target = cells.get("target")
    if isinstance(target, Mapping) and {"span1_text", "span2_text"} <= target.keys():
        return [Row(row.where, {**others(cells), "text2": f"{target['span1_text']} {target['span2_text']}"})]
    passage = cells.get("passage")
    if isinstance(passage, Mapping) and isinstance(passage.get("questions"), list):
        return [
            Row(
                row.where,
                {
                    "text": passage.get("text"),
                    "text2": f"{question.get('question')} {answer.get('text')}",
                    "label": answer.get("label"),
                },
            )
            for question in passage["questions"]
            for answer in question.get("answers", ())
        ]
    if {"sentence1", "sentence2", "word"} <= cells.keys():
        return [Row(row.where, {**cells, "sentence2": f"{cells['sentence2']} {cells['word']}"})]
    return [row]


def others(cells: Mapping[str, Any]) -> dict[str, Any]:
    """The cells that a task's own question is not made of."""
    made = ("premise", "choice1", "choice2", "question", "target")
    return {name: cell for name, cell in cells.items() if name not in made}


def text_in(row: Row, column: str) -> str:
    """A cell as a text.

    Raises:
        UserError: It holds several values.
    """
    cell: Any = row.cells.get(column)
    if isinstance(cell, (list, dict)):
        raise UserError(f"{row.where} has several values in {column}, and one is wanted.")
    return as_text(cell)


def likely(there: Sequence[str]) -> list[list[str]]:
    """The columns, as written, that may hold the texts: a pair, those of a table without a header, or one."""
    lower = {name.lower(): name for name in there}
    numbered = [name for name in there if re.fullmatch(r"text\d", name)]
    if len(numbered) > 2:
        return [numbered]
    for pair in PAIRS:
        if set(pair) <= lower.keys():
            return [[lower[name] for name in pair]]
    return [[lower[name]] for name in ONE if name in lower]


def inputs_of(path: Path, there: Sequence[str], chosen: str | None) -> list[str]:
    """The columns of the texts, chosen or found by their names."""
    if chosen is not None:
        wanted = [chosen] if chosen in there else [name.strip() for name in chosen.split(",")]
        if odd := [name for name in wanted if name not in there]:
            raise misnamed(path, odd[0], there, "--input-column")
        if len(wanted) > 2:
            raise UserError(f"--input-column {chosen} names {len(wanted)} columns: give one, or two of a pair.")
        return wanted
    found = likely(there)
    if len(found) > 1:
        names = [name for (name,) in found]
        raise UserError(
            f"{path} has the text columns {' and '.join(names)}: choose one, or two of a pair with a comma between "
            f"(--input-column)."
        )
    if not found:
        raise without_column(path, "text", there, "--input-column")
    return found[0]


def the(
    path: Path, kind: str, there: Sequence[str], names: Sequence[str], chosen: str | None, needed: bool = False
) -> str | None:
    """The column of labels, splits or groups, chosen or found by its name, if there is one."""
    flag = f"--{kind}-column"
    if chosen is not None and chosen not in there and needed:
        raise misnamed(path, chosen, there, flag)
    found = [name for name in there if name.lower() in names] if chosen is None else [chosen]
    if len(found) > 1:
        raise UserError(f"{path} has the {kind} columns {' and '.join(found)}: choose one ({flag}).")
    if needed and not found:
        raise without_column(path, kind, there, flag)
    return found[0] if found and found[0] in there else None


def by_split(path: Path, found: Sequence[tuple[Entry, Row]], columns: Columns) -> dict[str, list[Entry]]:
    """The entries of one table by its split column, if it has one."""
    rows = [row for _, row in found]
    there = names_of(rows)
    column = the(path, "split", there, ("split",), columns.split_column, needed=columns.split_column is not None)
    names = ["train" if column is None else text_in(row, column) for row in rows]
    parts = splits_of(path, rows, names, SPLIT_NAMES)
    return {split: [found[i][0] for i in part] for split, part in parts.items()}


def split_named(name: str) -> str | None:
    """The split that a file or folder of texts is named like."""
    return layout.split_named(name, SPLIT_NAMES)
