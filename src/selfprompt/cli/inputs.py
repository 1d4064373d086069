"""Images and texts without labels on the command line, and how far a command is with them."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from selfprompt.cli.console import progress
from selfprompt.data.tables import Kind, apart, is_table, with_columns
from selfprompt.errors import UserError

Found = TypeVar("Found")


def paths_of(inputs: Sequence[str], kind: Kind, columns: dict[str, str], source: str) -> list[Path]:
    """Files and folders as they were named, tables with their columns: those of flags, then those of a run.

    Raises:
        UserError: A name is empty, or a file is no image and is not called like one.
    """
    from selfprompt.data.images import identified
    from selfprompt.data.tree import is_image
    from selfprompt.runs.columns import as_read

    if not all(name.strip() for name in inputs):
        raise UserError("An empty name is no file: give a path.")
    paths = [Path(as_read(with_columns(name, columns) or "", source)) for name in inputs]
    for path in paths if kind == "image" else ():
        table = is_table(apart(str(path))[0])
        if path.is_file() and not table and not is_image(path.name) and not identified(path):
            raise UserError(f"{path} is no image, and is not called like one: leave it out.")
    return paths


def advancing(found: Iterable[Found], title: str, paths: Sequence[Path], kind: Kind) -> Iterator[Found]:
    """What is found, with a progress bar on standard error."""
    from selfprompt.runs.streaming import how_many

    total = how_many(paths, kind) if sys.stderr.isatty() else None
    with progress(title) as advance:
        for done, one in enumerate(found, 1):
            yield one
            advance(done, total, "")


def joined(name: object) -> str:
    """An image's name, or a text, or both of a pair."""
    return " | ".join(name) if isinstance(name, (list, tuple)) else str(name)
