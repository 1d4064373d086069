"""Images or texts without labels as they come: read ahead a batch at a time, whichever of them can be read."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image

from selfprompt.data.arrays import CHANNELS, as_it_is_now, is_array
from selfprompt.data.columns import Columns
from selfprompt.data.images import ImageSource
from selfprompt.data.rows import names_in, read_rows
from selfprompt.data.sources.folder import images_below
from selfprompt.data.sources.table import columns_of, file_named, held_in, texts_of
from selfprompt.data.tables import TABLES, Kind, apart, is_table
from selfprompt.data.text_tables import flat_rows
from selfprompt.data.tree import LeftOut, walk
from selfprompt.data.views.base import View
from selfprompt.errors import UserError, none_readable
from selfprompt.inputs import Inputs, move
from selfprompt.runs.texts import rows, strings
from selfprompt.tuning.engine import Engine

logger = logging.getLogger("selfprompt")

BATCH_SIZE = 64

OnError = Literal["skip", "stop"]
Named = tuple[int, Any, Any]
"""An image's place among all of them, its name, and the image or what is wrong with it; a text is its own name."""


def answered(
    inputs: Any,
    view: View,
    kind: Kind,
    engine: Engine,
    answer: Callable[[Inputs], Sequence[Any]],
    *,
    on_error: OnError = "skip",
    read: Callable[[Any], Any] | None = None,
    flat: bool = False,
    size: int | None = None,
) -> Iterator[tuple[Any, Any]]:
    """Each input's name with what is answered for it, or the error that says why not, in the order given.

    Two batches are held at a time, whatever there is of them; of several processes each answers its part.

    Args:
        inputs: Images (see `listed`) or texts (see `strings`).
        view: What is seen of them.
        kind: Which of the two they are.
        engine: Where they are computed.
        answer: One answer for each input of a batch on the device.
        on_error: ``stop`` ends at the first that cannot be read.
        read: Reads one in place of the view.
        flat: What it reads of one is several, which stand one after the other in a batch.
        size: Inputs of a batch; `BATCH_SIZE` by default.

    Raises:
        UserError: There are none, or none can be read; with ``stop``, one cannot.
    """
    if on_error not in ("skip", "stop"):
        raise UserError(f"on_error is {on_error!r}: give 'skip' or 'stop'.")
    size = size or BATCH_SIZE
    sources = strings(inputs) if kind == "text" else listed(inputs)
    total, errors = 0, []
    for batch in decoded(sources, view, read or view.read, kind, size, engine):
        seen = [found for _, _, found in batch if not isinstance(found, UserError)]
        if flat:
            seen = [one for several in seen for one in several]
        made = iter(answer(move(view.collate(seen, len(seen)), engine.device)) if seen else ())
        own = [(place, name, found if isinstance(found, UserError) else next(made)) for place, name, found in batch]
        for _, name, found in sorted(engine.gather(own), key=lambda one: one[0]):
            total += 1
            if isinstance(found, UserError):
                if on_error == "stop":
                    raise found
                errors.append(str(found))
            yield name, found
    if not total:
        give = "strings" if kind == "text" else "image files, or folders of them"
        raise UserError(f"There are no {kind}s: give {give}.")
    if len(errors) == total:
        raise none_readable(kind, errors)
    if errors:
        logger.warning("%d of %d %ss could not be read.", len(errors), total, kind)


def how_many(paths: Sequence[Path], kind: Kind) -> int | None:
    """Images in files and folders, for a progress bar; of texts and tables that shows when they are read."""
    if kind == "text" or any(is_table(apart(str(path))[0]) for path in paths):
        return None
    return sum(max(1, sum(1 for _ in walk(path, None, LeftOut()))) if path.is_dir() else 1 for path in paths)


def listed(images: ImageSource | Iterable[ImageSource]) -> Iterator[Named]:
    """One image, folder or path, or several, as single images; a folder without any as what is wrong with it."""
    many: Any = [images] if is_one(images) else images
    if not hasattr(many, "__iter__"):
        raise UserError(f"A {type(images).__name__} is no image: give a path, a PIL image or an array, or several.")
    held, place = isinstance(many, (list, tuple)) or is_array(many), 0
    for number, source in enumerate(many):
        found: Iterable[tuple[str | int, Any]] = [(number, source if held else as_it_is_now(source))]
        if isinstance(source, str) and not source.strip():
            found = [(number, UserError("An empty name is no image: give a path."))]
        elif isinstance(source, (str, os.PathLike)):
            path = Path(source)
            found = [(str(path), path)]
            if is_table(apart(str(source))[0]):
                found = ((name, image) for name, image, _ in in_table(*apart(str(source))))
            elif os.path.isdir(path):
                none = UserError(f"{path} has no images: give image files, or folders of them.")
                found = [(str(image), image) for image in images_below(path)] or [(str(path), none)]
        for name, image in found:
            yield place, name, image
            place += 1


def in_table(file: str, columns: Columns) -> Iterator[tuple[str, Any, Mapping[str, Any]]]:
    """Each row of a table of images: its image's name, its image, and its cells; its labels are not read."""
    path = Path(file)
    try:
        if not path.is_file():
            raise UserError(f"There is no file {file}: give a table ({', '.join(TABLES)}).")
        column = columns_of(path, names_in(path, read_rows(path)), columns, ("input",))["input"]
        for row in read_rows(path):
            try:
                held = held_in(row, column)
                image = held or file_named(path, row, texts_of([row], column)[0])
            except UserError as error:
                yield row.where, error, row.cells
            else:
                name = held["path"] if held else str(image)
                yield name, image, {**row.cells, column: name} if held else row.cells
    except UserError as error:
        yield file, error, {}


def table_columns(paths: Sequence[Path], kind: Kind) -> list[str] | None:
    """The columns of tables of images or texts, in their order; None where something else is among them."""
    tables = [Path(apart(str(path))[0]) for path in paths]
    if not all(map(is_table, map(str, tables))):
        return None
    found: list[str] = []
    for table in tables:
        with suppress(UserError):  # said where the table is read
            found += names_in(table, flat_rows(table) if kind == "text" else read_rows(table))
    return list(dict.fromkeys(found))


def table_cells(paths: Sequence[Path], kind: Kind) -> Iterator[Mapping[str, Any]]:
    """The cells of each row that `answered` answers for tables; none where a table cannot be read.

    An image within a table stands in them as its name.
    """
    read = rows if kind == "text" else in_table
    return (cells for path in paths for _, _, cells in read(*apart(str(path))))


def is_one(images: Any) -> bool:
    """Whether it is one image, and not several."""
    if is_array(images):
        return images.ndim in (0, 2, 3)
    return isinstance(images, (str, bytes, os.PathLike, Image.Image, Mapping)) or hasattr(images, "read")


def decoded(
    sources: Iterator[Named], view: View, read: Callable[[Any], Any], kind: Kind, size: int, engine: Engine
) -> Iterator[list[Named]]:
    """Batches of ``size`` sources as they are read, each read by threads while the one before is used.

    Every process gives as many, of its own part; the last may be empty.
    """
    with ThreadPoolExecutor(max_workers=torch.get_num_threads(), thread_name_prefix="decode") as threads:

        def ahead() -> Iterator[Named] | None:
            several = list(islice(sources, size * engine.world))
            mine = several[engine.rank :: engine.world]
            return threads.map(lambda image: decode(image, view, read, kind), mine) if several else None

        pending = ahead()
        while pending is not None:
            batch, pending = list(pending), ahead()
            yield batch


def decode(image: Named, view: View, read: Callable[[Any], Any], kind: Kind) -> Named:
    """One image or text as it is read, or what is wrong with it."""
    place, name, source = image
    if isinstance(source, UserError):
        return image
    shown = said(source) if kind == "text" else name
    try:
        deep = isinstance(source, np.ndarray) and source.dtype.kind in "iu"  # of whatever depth it was trained on
        if not (deep and (source.ndim == 2 or (source.ndim == 3 and source.shape[2] in CHANNELS))):
            source = view.accept(source)
        return place, shown, read(source)
    except UserError as error:
        where = f"{kind.capitalize()} number {name}: " if isinstance(name, int) else f"{name}: "
        return place, shown, error if kind == "image" and isinstance(name, str) else UserError(f"{where}{error}")


def said(text: Any) -> Any:
    """A text as it was given; of a pair both."""
    if isinstance(text, Mapping):
        text = tuple(text.values())
    if isinstance(text, (tuple, list)):
        return text[0] if len(text) == 1 else list(text)
    return text
