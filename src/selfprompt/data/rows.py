"""Rows of a table on disk, each with the place where it stands."""

from __future__ import annotations

import csv
import difflib
import json
import logging
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from selfprompt import registry
from selfprompt.data.layout import SPLIT_NAMES, split_named
from selfprompt.errors import UserError, first_line
from selfprompt.files import read_lines

logger = logging.getLogger("selfprompt")

FIX = "fix it"
AT_ONCE = 256
"""Rows of a Parquet file that are held."""
NUMBER = re.compile(r"[+-]?((0|[1-9]\d*)(\.\d+)?|\.\d+)([eE][+-]\d{2,3})?", re.ASCII)
"""As programs write numbers: 01 and 1e5 are codes."""


@dataclass(frozen=True)
class Row:
    """A row of a table, and where it stands."""

    where: str
    cells: Mapping[str, Any]


def read_rows(path: Path, texts: bool = False) -> Iterator[Row]:
    """The rows of a table, as they are asked for: memory does not grow with their number.

    Args:
        path: The table.
        texts: It is of texts: tabs separate whatever stands between them, quotes too (as in GLUE), and a header may
            be missing (see `header_of`).

    Raises:
        UserError: It cannot be read, or has none.
    """
    kind, row = path.suffix.lower(), None
    if texts and kind in (".csv", ".tsv"):
        rows = of_text_cells(path)
    else:
        rows = {".jsonl": of_lines, ".parquet": of_parquet}.get(kind, of_cells)(path)
    for row in rows:
        yield row
    if row is None:
        raise UserError(f"{path} has no rows: add some.")


def names_of(rows: Iterable[Row]) -> list[str]:
    """The columns of a table, in the order in which rows have them."""
    return list(dict.fromkeys(name for row in rows for name in row.cells))


def names_in(path: Path, rows: Iterable[Row]) -> list[str]:
    """`names_of` the rows of a file, all of which are asked for only where each may have others."""
    return names_of(rows if path.suffix.lower() == ".jsonl" else islice(rows, 1))


def of_cells(path: Path) -> Iterator[Row]:
    """Rows of comma- or tab-separated cells."""
    dialect = "excel-tab" if path.suffix.lower() == ".tsv" else "excel"
    reader = csv.reader(read_lines(path, FIX, newline=""), dialect, strict=True)
    header: list[str] | None = None
    try:
        for cells in reader:
            where = f"{path}, line {reader.line_num}"
            if not cells:
                continue
            if header is None:
                header = named_once(path, cells)
            elif len(cells) != len(header):
                raise UserError(f"{where} has {len(cells)} cells and the header {len(header)}: {FIX}.")
            else:
                yield Row(where, {name: cell for name, cell in zip(header, cells) if name})
    except csv.Error as error:
        raise UserError(f"{path}, line {reader.line_num} cannot be read ({error}): {FIX}.") from None


def of_text_cells(path: Path) -> Iterator[Row]:
    """Rows of texts. Up to one of a thousand may have another number of cells (as in GLUE's QQP): it is left out."""
    if tabs := path.suffix.lower() == ".tsv":
        found = (line.removesuffix("\n").removesuffix("\r") for line in read_lines(path, FIX))
        lines = enumerate((line.split("\t") for line in found), 1)
    else:
        reader = csv.reader(read_lines(path, FIX, newline=""), strict=True)
        lines = ((reader.line_num, cells) for cells in reader)
    header, count, odd, first = None, 0, 0, ""
    try:
        for number, cells in lines:
            empty = not any(cells)
            if empty and (header is None or tabs or cells != [""]):  # which is an empty text of one column
                continue
            if header is None:
                header = header_of(cells)
                if header is None:
                    header = named_once(path, cells)
                    continue
            count += 1
            where = f"{path}, line {number}"
            if len(cells) == len(header):
                yield Row(where, {name: cell for name, cell in zip(header, cells) if name})
            else:
                odd += 1
                first = first or f"{where} has {len(cells)} cells and the header {len(header)}"
    except csv.Error as error:
        raise UserError(f"{path} cannot be read ({error}): {FIX}.") from None
    if odd and (not tabs or odd > max(1, count // 1000)):
        raise UserError(f"{first}: {FIX}.")
    if odd:
        logger.warning("%s, and is left out (%d row(s) of %d are).", first, odd, count)


def named_once(where: Path | str, cells: Iterable[str]) -> list[str]:
    """The names of columns; any number may have none, as an index that pandas writes: nobody asks for these.

    Raises:
        UserError: Two have one name.
    """
    names = [cell.strip() for cell in cells]
    if twice := next((name for name, times in Counter(names).items() if name and times > 1), None):
        raise UserError(f"{where} has two columns named {twice!r}: rename one.")
    return names


def header_of(cells: list[str]) -> list[str] | None:
    """Names for the columns of a table of texts without a header, by its first row; None where that is the header.

    The label stands first, as a whole number, and texts behind it (AG News, LM-BFF); or second of four, behind a
    source and before a mark and the text (CoLA).
    """
    number = [cell.strip().isdecimal() for cell in cells]
    if len(cells) == 4 and number[1] and cells[2] in ("", "*"):
        return ["source", "label", "mark", "sentence"]
    if len(cells) > 1 and number[0] and not any(number[1:]):
        return ["label", "text"] if len(cells) == 2 else ["label", *(f"text{i}" for i in range(1, len(cells)))]
    return None


def column_names(path: Path) -> list[str]:
    """The columns of a table of texts, by its beginning; none where it cannot be told."""
    try:
        if path.suffix.lower() == ".parquet":
            import pyarrow.parquet

            return list(pyarrow.parquet.read_schema(path).names)
        first = next((line for line in read_lines(path, FIX) if line.strip()), "").rstrip("\r\n")
        if path.suffix.lower() == ".jsonl":
            return list(dict(json.loads(first)))
        cells = next(csv.reader([first], "excel-tab" if path.suffix.lower() == ".tsv" else "excel"))
        return header_of(cells) or [cell.strip() for cell in cells]
    except Exception:  # whatever is wrong is said where the table is read
        return []


def of_lines(path: Path) -> Iterator[Row]:
    """Rows of one JSON object a line."""
    for number, line in enumerate(read_lines(path, FIX), 1):  # a text may hold other ends of lines
        if line.strip():
            where = f"{path}, line {number}"
            try:
                cells = json.loads(line, object_pairs_hook=partial(as_object, where))
            except ValueError as error:
                raise UserError(f"{where} is no JSON ({error}): {FIX}.") from None
            if not isinstance(cells, dict):
                raise UserError(f'{where} is no JSON object: write one, such as {{"image": ..., "label": ...}}.')
            yield Row(where, cells)


def as_object(where: str, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """What an object of a line holds, each key once."""
    named_once(where, (name for name, _ in pairs))
    return dict(pairs)


def of_parquet(path: Path) -> Iterator[Row]:
    """Rows of a Parquet file."""
    if not registry.installed("pyarrow"):
        raise UserError("Parquet tables need pyarrow: pip install 'selfprompt[parquet]'.")
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            named_once(path, file.schema_arrow.names)
            short = {
                field.name: field.type.to_pandas_dtype()
                for field in file.schema_arrow
                if field.type in (pyarrow.float16(), pyarrow.float32())
            }
            classes = class_names(file.schema_arrow.metadata or {})
            rows = (cells for batch in file.iter_batches(AT_ONCE) for cells in batch.to_pylist())
            for number, cells in enumerate(rows, 1):
                for name, kind in short.items():
                    if cells[name] is not None:
                        cells[name] = float(str(kind(cells[name])))  # 1.1 as it was written, not 1.100000023841858
                for name, known in classes.items():
                    if cells.get(name) in range(-1, len(known)):  # -1 is none
                        cells[name] = [*known, None][cells[name]]
                yield Row(f"{path}, row {number}", cells)
    except UserError:
        raise
    except Exception as error:  # whatever damaged bytes lead it to
        raise UserError(f"{path} is no Parquet file that can be read ({first_line(error)[:200]}): {FIX}.") from None


def class_names(metadata: Mapping[bytes, bytes]) -> dict[str, list[str]]:
    """The names that numbers stand for, by column, as Hugging Face's datasets keep them in Parquet files."""
    try:
        features = json.loads(metadata.get(b"huggingface", b"{}"))["info"]["features"]
        return {name: kind["names"] for name, kind in features.items() if kind.get("_type") == "ClassLabel"}
    except (ValueError, KeyError, TypeError, AttributeError):  # none, or not as they write it
        return {}


def as_text(cell: Any) -> str:
    """A cell as a text; nothing is an empty one, a whole number has no point, as in columns in which one is missing,
    a decimal no zeros at its end, and bytes are those of a text."""
    if isinstance(cell, float) and cell.is_integer():
        cell = int(cell)
    if isinstance(cell, bytes):
        cell = cell.decode(errors="replace")
    if isinstance(cell, Decimal):
        whole, point, rest = f"{cell or Decimal():f}".partition(".")
        cell = f"{whole}{point}{rest}".rstrip("0") if rest.rstrip("0") else whole
    return "" if cell is None or cell != cell else str(cell).strip()


def as_names(cells: Iterable[Any]) -> list[str]:
    """A column of labels or groups as texts; where all of them are numbers, equal ones have one name (1 and 1.0)."""
    names = [as_text(cell) for cell in cells]
    if all(NUMBER.fullmatch(name) for name in names if name):
        names = [name and as_text(Decimal(name)) for name in names]
    return names


def in_order(names: set[str]) -> list[str]:
    """Labels sorted, as numbers where all are whole ones."""
    whole = all(name.isascii() and name.isdecimal() for name in names)
    return sorted(names, key=lambda name: (int(name) if whole else 0, name))


def splits_of(
    path: Path, rows: Sequence[Row], names: Sequence[str], known: Mapping[str, Sequence[str]] = SPLIT_NAMES
) -> dict[str, list[int]]:
    """The rows of each split, by what each row calls it and the names that each split is known by; perhaps none of
    the train split, which can be asked but not trained on.

    Raises:
        UserError: A row is of no such split.
    """
    parts: dict[str, list[int]] = {"train": []}
    for i, name in enumerate(names):
        split = split_named(name, known)
        if split is None:
            raise UserError(f"{rows[i].where} is of the split {name!r}: write train, val or test.")
        parts.setdefault(split, []).append(i)
    return parts


def without_column(path: Path, kind: str, there: Sequence[str], flag: str) -> UserError:
    """The error for a table none of whose columns is named as one of a kind is."""
    for mark, name in {";": "';'", "\t": "tabs"}.items():
        if len(there) == 1 and mark in there[0]:
            return UserError(f"{path} parts its columns by {name}, not by ',': save it with commas.")
    return UserError(f"{path} has no {kind} column that its name tells, among {', '.join(there)}: name it ({flag}).")


def misnamed(path: Path, wanted: str, there: Sequence[str], flag: str) -> UserError:
    """The error for a column that is asked for and not there."""
    lower = {name.lower(): name for name in there}
    near = [lower[name] for name in difflib.get_close_matches(wanted.lower(), lower, n=1)]
    meant = f" (did you mean {near[0]}?)" if near else ""
    return UserError(f"{path} has no column {wanted!r} ({flag}){meant}, but {', '.join(there)}.")
