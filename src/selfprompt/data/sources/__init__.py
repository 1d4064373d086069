"""Where examples come from: one file a source.

A new one exports ``RECORD`` and ``load()``; where its record has ``parts``, ``load(part)``.
"""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import TYPE_CHECKING

from selfprompt import registry
from selfprompt.data.tables import HUB, TABLES, apart, is_table
from selfprompt.data.tasks import is_task, load_task, locate_task
from selfprompt.errors import UserError

if TYPE_CHECKING:
    from selfprompt.data.datasets import Dataset

NAME = "name:"
RECORDS = registry.walk(__name__)


def names() -> list[str]:
    """Every registered name, and NAME/PART where a source asks several questions of its images."""
    return [name for record in RECORDS.values() for name in record.names]


def load_dataset(data: str | Path) -> Dataset:
    """Load a folder of class folders, a table, a registered name, ``hf:NAME``, or a task of raw text (`load_task`).

    A table's columns are found by their names, or given behind it: ``labels.csv#label=species&group=patient``. A
    `Path` is always a folder or a table. A string that is both a folder here and a registered name is refused: write
    ``./photos`` for the folder, ``name:photos`` for the registered data set.

    Raises:
        UserError: There is no such data set or folder, it is not in order, or both could be meant.
    """
    return load_located(locate(data))


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
    if is_table(file) and Path(file).is_file():
        return str(path.absolute())
    if path.exists():
        raise UserError(
            f"{data} is a file: give a table ({', '.join(TABLES)}), or the folder that holds one folder of images "
            f"for each class."
        )
    hint = f"write {NAME}{data} for the data set, " if str(data) in names() else ""
    near = difflib.get_close_matches(str(data).removeprefix(NAME), names(), n=3)
    meant = f" (did you mean {' or '.join(near)}?)" if near else ""
    raise UserError(
        f"There is no folder or data set {str(data)!r}{meant}: {hint}give a folder of class folders, hf:NAME, or a "
        f"name that selfprompt list datasets shows."
    )


def load_located(data: str) -> Dataset:
    """Load what `locate` gave, or a run recorded: a registered name stands for itself, whatever folders are here.

    Raises:
        UserError: It is no longer there, or not in order.
    """
    from selfprompt.data.sources.folder import load_folder  # not before data is read: records are listed without
    from selfprompt.data.sources.hub import load_hub
    from selfprompt.data.sources.table import load_table

    if data.startswith(HUB):
        return load_hub(data.removeprefix(HUB))
    if is_task(data):
        return load_task(data)
    if data in names():
        name, _, part = data.partition("/")
        return RECORDS[name].factory(*([part] if part else []))
    file, columns = apart(data)
    if is_table(file) and Path(file).is_file():
        return load_table(Path(file), columns)
    if not Path(data).is_dir():
        raise UserError(f"There is no folder or data set {data!r} any more: put it back where it was.")
    return load_folder(Path(data))
