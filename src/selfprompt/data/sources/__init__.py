"""Where examples come from: one file a source.

A new one exports ``RECORD`` and ``load()``; where its record has ``parts``, ``load(part)``.
"""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import TYPE_CHECKING

from selfprompt import registry
from selfprompt.data.tables import HUB, TABLES, Kind, apart, has_columns, is_table
from selfprompt.data.tasks import is_task, load_task, locate_task
from selfprompt.errors import UserError

if TYPE_CHECKING:
    from selfprompt.data.columns import Columns
    from selfprompt.data.datasets import Dataset

NAME = "name:"
RECORDS = registry.walk(__name__)


def names() -> list[str]:
    """Every registered name, and NAME/PART where a source asks several questions of its images."""
    return [name for record in RECORDS.values() for name in record.names]


def load_dataset(data: str | Path, inputs: Kind | None = None) -> Dataset:
    """Load a folder of class folders, a table, a registered name, ``hf:NAME``, or a task of raw text (`load_task`).

    A table's columns are found by their names, or given behind it: ``labels.csv#label=species&group=patient``. A
    `Path` is always a folder or a table. A string that is both a folder here and a registered name is refused: write
    ``./photos`` for the folder, ``name:photos`` for the registered data set.

    Args:
        data: Which.
        inputs: What is to be read in it, ``image`` or ``text``; left open, what the names of its files or columns
            tell, and else images.

    Raises:
        UserError: There is no such data set or folder, it is not in order, both could be meant, or it has others.
    """
    return load_located(locate(data), inputs)


def locate(data: str | Path) -> str:
    """What ``data`` stands for, in a form that stands for it anywhere.

    That is ``hf:NAME``, ``pairs:FILE`` and the like, a registered name, or the absolute path of a folder or a table.

    Raises:
        UserError: There is no such data set or folder, or both could be meant.
    """
    if not isinstance(data, (str, Path)) or not str(data).strip():
        raise UserError(
            f"{data!r:.80} is no data set: give a folder of class folders, a table, hf:NAME, or a registered name."
        )
    path = Path(data)
    if isinstance(data, str):
        if data.startswith(HUB):
            return data
        if is_task(data):
            return locate_task(data)
        name = data.removeprefix(NAME)
        if name in names() and not (data == name and path.is_dir()):
            return name
        if name in names():
            raise UserError(
                f"{data} is a folder here and a registered data set: write ./{data} for the folder, or "
                f"{NAME}{data} for the data set."
            )
    if path.is_dir():
        from selfprompt.data.layout import is_utf8

        absolute = str(path.absolute())
        if not is_utf8(absolute):
            raise UserError(f"{absolute!a} has a name that is not UTF-8: rename the folder.")
        return absolute
    file, _ = apart(str(data))
    if has_columns(file) and Path(file).exists():
        return str(path.absolute())
    if path.exists():
        raise UserError(
            f"{data} is a file: give a table ({', '.join(TABLES)}), or the folder that holds one folder of images, "
            f"or of texts, for each class."
        )
    if has_columns(file):
        raise UserError(f"There is no file {file}: name a table that is there.")
    hint = f"write {NAME}{data} for the data set, " if str(data) in names() else ""
    near = difflib.get_close_matches(str(data).removeprefix(NAME), names(), n=3)
    meant = f" (did you mean {' or '.join(near)}?)" if near else ""
    raise UserError(
        f"There is no folder or data set {str(data)!r}{meant}: {hint}give a folder of class folders, hf:NAME, or a "
        f"name that selfprompt list datasets shows."
    )


def load_located(data: str, inputs: Kind | None = None) -> Dataset:
    """Load what `locate` gave, or a run recorded: a registered name stands for itself, whatever folders are here.

    What a backbone takes decides what is read; names of files and columns decide where none is asked.

    Raises:
        UserError: It is no longer there, not in order, or holds other inputs.
    """
    from selfprompt.data.sources.folder import load_folder  # not before data is read: records are listed without
    from selfprompt.data.sources.hub import load_hub
    from selfprompt.data.sources.table import load_table
    from selfprompt.data.sources.texts import load_texts

    if data.startswith(HUB):
        return load_hub(data.removeprefix(HUB), inputs)
    if is_task(data):
        refuse_others(data, "text", inputs)
        return load_task(data)
    if data in names():
        name, _, part = data.partition("/")
        refuse_others(data, RECORDS[name].inputs, inputs)
        return RECORDS[name].factory(*([part] if part else []))
    path, columns, kind = on_disk(data, inputs)
    if kind == "text":
        return load_texts(path, columns)
    return load_folder(path) if path.is_dir() else load_table(path, columns)


def on_disk(data: str, inputs: Kind | None) -> tuple[Path, Columns, Kind]:
    """A folder or table that `locate` gave, its columns, and what is to be read in it.

    Raises:
        UserError: It is no longer there, or holds other inputs.
    """
    from selfprompt.data.columns import Columns
    from selfprompt.data.sources.texts import kind_of

    file, columns = apart(data)
    path = Path(file)
    if not path.is_dir() and not (is_table(file) and path.is_file()):
        raise UserError(f"There is no folder or data set {data!r} any more: put it back where it was.")
    found = kind_of(path, columns)
    refuse_others(file, found, inputs)
    kind = inputs or found or "image"
    if kind == "image" and path.is_dir() and columns != Columns():
        raise UserError(f"{file} is a folder of images, which has no columns: leave them out.")
    return path, columns, kind


def refuse_others(data: str, found: Kind | None, wanted: Kind | None) -> None:
    """Refuse data that are known not to be what a backbone takes.

    Raises:
        UserError: They are not.
    """
    if found is not None and wanted not in (None, found):
        fix = "give --backbone text:NAME" if found == "text" else "give a backbone of images"
        raise UserError(f"{data} holds {found}s, and the backbone takes {wanted}s: {fix}.")
