"""Fashion-MNIST, from the Debian package dataset-fashion-mnist."""

from __future__ import annotations

import gzip
from functools import lru_cache
from pathlib import Path

import numpy as np

from selfprompt.data.datasets import Dataset, Examples
from selfprompt.errors import UserError
from selfprompt.registry import Record

RECORD = Record(
    name="fashion",
    title="Fashion-MNIST",
    url="https://github.com/zalandoresearch/fashion-mnist",
    year=2017,
    idea="Grey photographs of clothes, whole or 500 and 100 of each class, where Debian's package is installed.",
    debian="dataset-fashion-mnist",
    parts=("whole", "small"),
)
ROOT = Path("/usr/share/datasets/fashion-mnist")
NAMES = ("t shirt", "trousers", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")
SMALL = {"train": 500, "t10k": 100}
"""Images of each class, the first ones."""


@lru_cache
def load(part: str) -> Dataset:
    """60,000 images of 28 by 28 pixels to train on and 10,000 to test; small, the first 500 and 100 of each class.

    Raises:
        UserError: The package is not installed.
    """
    if not ROOT.is_dir():
        raise UserError(f"The data set fashion needs a Debian package: apt-get install {RECORD.debian}.")
    splits = []
    for split, count in SMALL.items():
        images, labels = read(f"{split}-images-idx3", 16).reshape(-1, 28, 28), read(f"{split}-labels-idx1", 8)
        if part == "small":
            chosen = np.sort(np.concatenate([np.flatnonzero(labels == c)[:count] for c in range(len(NAMES))]))
            images, labels = images[chosen], labels[chosen]
        splits.append(Examples(list(images), labels.astype(np.int64)))
    return Dataset(f"fashion/{part}", NAMES, splits[0], test=splits[1], licence="MIT")


def read(name: str, header: int) -> np.ndarray:
    """The bytes of one file behind its header."""
    return np.frombuffer(gzip.decompress((ROOT / f"{name}-ubyte.gz").read_bytes()), np.uint8, offset=header)
