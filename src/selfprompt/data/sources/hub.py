"""``hf:NAME``: a data set of the Hugging Face hub, read by the datasets library."""

from __future__ import annotations

from typing import Any

import numpy as np

from selfprompt.data.datasets import Dataset, Examples
from selfprompt.errors import UserError, first_line


def load_hub(name: str) -> Dataset:
    """Load ``NAME`` or ``NAME/CONFIG`` with an image column and a class-label column.

    Raises:
        UserError: The datasets library is missing, the hub cannot be reached, or a column is missing.
    """
    try:
        import datasets
    except ImportError:
        raise UserError("Data sets of the hub need an extra: pip install 'selfprompt[hf]'.") from None
    try:
        loaded = datasets.load_dataset(name)
    except Exception as error:
        raise UserError(
            f"hf:{name} could not be had ({first_line(error)}): check the name and the network."
        ) from error
    return from_splits(f"hf:{name}", {str(k): v for k, v in loaded.items()})


def from_splits(name: str, loaded: dict[str, Any]) -> Dataset:
    """Turn the splits of a loaded data set into ours."""
    import datasets

    if "train" not in loaded:
        raise UserError(f"{name} has no train split, but {', '.join(loaded)}.")
    features = loaded["train"].features
    image_column = next((c for c, f in features.items() if isinstance(f, datasets.Image)), None)
    label_column = next((c for c, f in features.items() if isinstance(f, datasets.ClassLabel)), None)
    if image_column is None or label_column is None:
        missing = "image" if image_column is None else "class-label"
        raise UserError(f"{name} has no {missing} column among {', '.join(features)}.")

    def examples(split: str) -> Examples | None:
        if split not in loaded:
            return None
        table = loaded[split]
        return Examples(table[image_column], np.asarray(table[label_column], dtype=np.int64))

    train = examples("train")
    assert train is not None
    return Dataset(
        name,
        tuple(features[label_column].names),
        train,
        val=examples("validation"),
        test=examples("test"),
        licence=loaded["train"].info.license or "unknown",
    )
