"""Rows of a table on disk, each with the place where it stands."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

from selfprompt import registry
from selfprompt.errors import UserError, first_line
from selfprompt.files import read_text

FIX = "mend it"


@dataclass(frozen=True)
class Row:
    """A row of a table, and where it stands."""

    where: str
    cells: Mapping[str, Any]


def read_rows(path: Path) -> list[Row]:
    """The rows of a table.

    Raises:
        UserError: It cannot be read, or has none.
    """
    kind = path.suffix.lower()
    rows = list({".jsonl": of_lines, ".parquet": of_parquet}.get(kind, of_cells)(path))
    if not rows:
        raise UserError(f"{path} has no rows: add some.")
    return rows


def of_cells(path: Path) -> Iterator[Row]:
    """Rows of comma- or tab-separated cells."""
    dialect = "excel-tab" if path.suffix.lower() == ".tsv" else "excel"
    reader = csv.reader(StringIO(read_text(path, FIX), newline=""), dialect, strict=True)
    header: list[str] | None = None
    try:
        for cells in reader:
            where = f"{path}, line {reader.line_num}"
            if not cells:
                continue
            if header is None:
                header = [cell.strip() for cell in cells]
                if twice := [name for name in header if header.count(name) > 1]:
                    raise UserError(f"{path} has two columns named {twice[0]!r}: rename one.")
            elif len(cells) != len(header):
                raise UserError(f"{where} has {len(cells)} cells and the header {len(header)}: {FIX}.")
            else:
                yield Row(where, dict(zip(header, cells)))
    except csv.Error as error:
        raise UserError(f"{path}, line {reader.line_num} cannot be read ({error}): {FIX}.") from None


def of_lines(path: Path) -> Iterator[Row]:
    """Rows of one JSON object a line."""
    for number, line in enumerate(read_text(path, FIX).splitlines(), 1):
        if line.strip():
            where = f"{path}, line {number}"
            try:
                cells = json.loads(line)
            except ValueError as error:
                raise UserError(f"{where} is no JSON ({error}): {FIX}.") from None
            if not isinstance(cells, dict):
                raise UserError(f'{where} is no JSON object: write one, such as {{"image": ..., "label": ...}}.')
            yield Row(where, cells)


def of_parquet(path: Path) -> Iterator[Row]:
    """Rows of a Parquet file."""
    if not registry.installed("pyarrow"):
        raise UserError("Parquet tables need pyarrow: pip install 'selfprompt[parquet]'.")
    import pyarrow.parquet

    try:
        rows = pyarrow.parquet.read_table(path).to_pylist()
    except Exception as error:  # whatever damaged bytes lead it to
        raise UserError(f"{path} is no Parquet file that can be read ({first_line(error)[:200]}): {FIX}.") from None
    for number, cells in enumerate(rows, 1):
        yield Row(f"{path}, row {number}", cells)
