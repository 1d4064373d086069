"""Where examples come from: one file a source.

A new one exports ``RECORD`` and ``load()``; where it asks several questions of its images, ``PARTS`` and
``load(part)``.
"""

from __future__ import annotations

from pathlib import Path

from selfprompt import registry
from selfprompt.data.datasets import Dataset
from selfprompt.data.sources.folder import load_folder
from selfprompt.data.sources.hub import load_hub
from selfprompt.errors import UserError


def names() -> list[str]:
    """Every registered name, and NAME/PART where a source asks several questions of its images (``PARTS``)."""
    parts = {name: getattr(module, "PARTS", (None,)) for name, module in registry.modules("dataset").items()}
    return [f"{name}/{part}" if part else name for name in parts for part in parts[name]]


def load_dataset(data: str | Path) -> Dataset:
    """Load a folder of class folders, a registered name, or ``hf:NAME``.

    Raises:
        UserError: There is no such data set or folder, or it is not in order.
    """
    if isinstance(data, str) and data.startswith("hf:"):
        return load_hub(data[3:])
    name, _, part = str(data).partition("/")
    if str(data) in names():
        return registry.module("dataset", name).load(*([part] if part else []))
    path = Path(data)
    if path.is_dir():
        return load_folder(path)
    if path.exists():
        raise UserError(f"{data} is a file: give the folder that holds one folder of images for each class.")
    raise UserError(
        f"There is no folder or data set {str(data)!r}: give a folder of class folders, hf:NAME, "
        f"or one of {', '.join(names())}."
    )
