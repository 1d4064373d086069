"""Where examples come from: one file a source; a new one exports ``RECORD`` and ``load()``."""

from __future__ import annotations

from pathlib import Path

from selfprompt import registry
from selfprompt.data.datasets import Dataset
from selfprompt.data.sources.folder import load_folder
from selfprompt.data.sources.hub import load_hub
from selfprompt.errors import UserError


def load_dataset(data: str | Path) -> Dataset:
    """Load a folder of class folders, a registered name, or ``hf:NAME``.

    Raises:
        UserError: There is no such data set or folder, or it is not in order.
    """
    if isinstance(data, str) and data.startswith("hf:"):
        return load_hub(data[3:])
    if str(data) in registry.modules("dataset"):
        return registry.module("dataset", str(data)).load()
    path = Path(data)
    if path.is_dir():
        return load_folder(path)
    if path.exists():
        raise UserError(f"{data} is a file: give the folder that holds one folder of images for each class.")
    raise UserError(
        f"There is no folder or data set {str(data)!r}: give a folder of class folders, hf:NAME, "
        f"or one of {', '.join(registry.names('dataset'))}."
    )
