"""Features as a file, written as they come: Parquet, npz or CSV."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np

from selfprompt.errors import UserError
from selfprompt.files import comma_separated, encoded, replacing
from selfprompt.registry import installed

ROWS = 1024
"""Rows that a Parquet file is given at once."""

Row = Callable[[str, np.ndarray], None]
"""Takes a name and its features."""


def check_suffix(path: Path) -> None:
    """Refuse what is none of the three formats, or needs a package that is not here.

    Raises:
        UserError: It is, or does.
    """
    if path.suffix not in WRITERS:
        raise UserError(f"{path} must end in {', '.join(WRITERS)}: its suffix chooses the format.")
    if path.suffix == ".parquet" and not installed("pyarrow"):
        raise UserError(f"{path} needs an extra: pip install 'selfprompt[parquet]', or write .npz or .csv.")


@contextmanager
def feature_file(path: Path, kind: str) -> Iterator[Row]:
    """Give what writes names with their features; the file is there when the block ends.

    Args:
        path: A ``.parquet`` file of the columns ``kind`` and ``features`` (a list of float32), an ``.npz`` file of
            the arrays ``names`` (of texts ``texts``, the bytes of a list in JSON: in an array of strings each takes
            as much as the longest) and ``features``, or a ``.csv`` file of the columns ``kind``, ``0``, ``1`` and so
            on.
        kind: What the names are of.

    Raises:
        UserError: It cannot be written.
    """
    check_suffix(path)
    with replacing(path) as file, WRITERS[path.suffix](file, kind) as row:
        yield row


@contextmanager
def parquet(file: BinaryIO, kind: str) -> Iterator[Row]:
    """Rows of a name and a list of fixed length."""
    import pyarrow
    from pyarrow.parquet import ParquetWriter

    names: list[str] = []
    features: list[np.ndarray] = []
    writer: ParquetWriter | None = None

    def flush() -> None:
        nonlocal writer
        lists = pyarrow.FixedSizeListArray.from_arrays(np.concatenate(features), len(features[0]))
        table = pyarrow.table({kind: names, "features": lists})
        writer = writer or ParquetWriter(file, table.schema)
        writer.write_table(table)
        names.clear()
        features.clear()

    def row(name: str, found: np.ndarray) -> None:
        names.append(name)
        features.append(found)
        if len(names) == ROWS:
            flush()

    yield row
    if names:
        flush()
    if writer is not None:
        writer.close()


@contextmanager
def npz(file: BinaryIO, kind: str) -> Iterator[Row]:
    """Two arrays; features wait in a file without a name, as the first bytes of an array say how long it is."""
    names: list[str] = []
    with tempfile.TemporaryFile(dir=Path(file.name).parent) as waiting:

        def row(name: str, found: np.ndarray) -> None:
            names.append(name)
            waiting.write(found.astype(np.float32).tobytes())

        yield row
        waiting.flush()
        values = np.memmap(waiting, np.float32, "r") if names else np.empty(0, np.float32)
        features = values.reshape(len(names), -1)
        if kind == "text":
            np.savez(file, texts=np.frombuffer(json.dumps(names).encode(), np.uint8), features=features)
        else:
            np.savez(file, names=np.array(names, dtype=str), features=features)


@contextmanager
def csv(file: BinaryIO, kind: str) -> Iterator[Row]:
    """A row of cells for each name."""
    begun = False

    def row(name: str, found: np.ndarray) -> None:
        nonlocal begun
        if not begun:
            file.write(encoded(comma_separated([[kind, *range(len(found))]])))
            begun = True
        file.write(encoded(comma_separated([[name, *found.tolist()]])))

    yield row


WRITERS = {".parquet": parquet, ".npz": npz, ".csv": csv}
