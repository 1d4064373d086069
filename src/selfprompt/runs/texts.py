"""Texts that are to be answered: strings, lines of a file, rows of a table, files of a folder, standard input."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from selfprompt.data.columns import Columns
from selfprompt.data.tables import TABLES, apart, is_table
from selfprompt.errors import UserError
from selfprompt.files import read_lines, read_text

STDIN = Path("-")
FIX = "give a text file with one text a line, a table, or - for standard input"


def strings(texts: Any) -> Iterator[tuple[int, str | int, Any]]:
    """One text, or several, each with its place among all of them and its name; what cannot be read as an error.

    Args:
        texts: A string is a text, a pair of strings or a mapping (``text``, ``text2``) a pair. A `Path` is a file
            with one text a line, a table (of columns as for `load_dataset`), a folder of text files, or ``-``:
            standard input, one text a line.

    Returns:
        Names are numbers from 0, or of those out of files ``FILE, line N``.
    """
    if not hasattr(texts, "__iter__") and not isinstance(texts, Path):
        raise UserError(f"A {type(texts).__name__} is no text: give a string, or several.")
    place = 0
    for text in [texts] if isinstance(texts, (str, Mapping, Path)) else texts:
        found: Iterable[tuple[str | int, Any]] = in_file(text) if isinstance(text, Path) else [(place, text)]
        for name, one in found:
            yield place, name, one
            place += 1


def in_file(path: Path) -> Iterator[tuple[str, Any]]:
    """The texts in a file or folder, by their places."""
    try:
        if path == STDIN:
            yield from lines("standard input", (line.rstrip("\n") for line in sys.stdin))
        elif is_table(apart(str(path))[0]):
            yield from ((where, text) for where, text, _ in rows(*apart(str(path))))
        elif path.is_dir():
            files = sorted(file for file in path.rglob("*.txt") if file.is_file())
            yield from ((str(file), read_text(file, FIX)) for file in files)
            if not files:
                yield str(path), UserError(f"{path} has no .txt files: {FIX}.")
        elif path.is_file():
            found = (line.removesuffix("\n") for line in read_lines(path, FIX))
            yield from lines(str(path), found if path.stat().st_size else [""])
        else:
            yield str(path), UserError(f"There is no file {path}: {FIX}.")
    except UnicodeDecodeError:
        yield str(path), UserError(f"{path} is not UTF-8: {FIX}.")
    except UserError as error:
        yield str(path), error


def lines(where: str, found: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Each line by its number."""
    for number, line in enumerate(found, 1):
        yield f"{where}, line {number}", line.removesuffix("\r")


def rows(file: str, columns: Columns) -> Iterator[tuple[str, Any, Mapping[str, Any]]]:
    """Each row of a table of texts: where it stands, its text, and its cells; its labels are not read."""
    from selfprompt.data.text_tables import unlabelled

    try:
        if not Path(file).is_file():
            raise UserError(f"There is no file {file}: give a table ({', '.join(TABLES)}).")
        for row, text in unlabelled(Path(file), columns):
            yield row.where, text, row.cells
    except UserError as error:
        yield file, error, {}
