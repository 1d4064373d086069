"""Crops of scikit-learn's two photographs."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from sklearn.datasets import load_sample_images

from selfprompt.data.datasets import Dataset, Examples
from selfprompt.registry import Record

RECORD = Record(
    name="photos",
    title="Crops of scikit-learn's sample photographs",
    url="https://scikit-learn.org/stable/modules/generated/sklearn.datasets.load_sample_images.html",
    idea="From which of two photographs, and from which of four bands of it, a crop of 48 pixels is.",
)
CROP, BANDS, PER_CLASS = 48, 4, {"train": 150, "test": 75}
STRIPE = 64


@lru_cache
def load() -> Dataset:
    """1,200 crops to train on and 600 to test, each class equally often, the same on every machine.

    Both pictures are cut into vertical stripes of 64 pixels; every third one is the test's, so that no pixel is
    seen in both. Crops of one split do overlap.
    """
    found: Any = load_sample_images()
    names = [name.rpartition("/")[2].removesuffix(".jpg") for name in found["filenames"]]
    stripes = found["images"][0].shape[1] // STRIPE
    splits = {}
    for which, (split, count) in enumerate(PER_CLASS.items()):
        rng = np.random.default_rng(which)
        mine = [s for s in range(stripes) if (s % 3 == 2) == (split == "test")]
        images, labels = [], []
        for number, picture in enumerate(found["images"]):
            height = (picture.shape[0] - CROP) // BANDS
            for band in range(BANDS):
                for _ in range(count):
                    top = band * height + int(rng.integers(height))
                    left = STRIPE * int(rng.choice(mine)) + int(rng.integers(STRIPE - CROP + 1))
                    images.append(picture[top : top + CROP, left : left + CROP])
                    labels.append(BANDS * number + band)
        splits[split] = Examples(images, np.asarray(labels, dtype=np.int64))
    classes = tuple(f"{name}, band {band + 1}" for name in names for band in range(BANDS))
    return Dataset("photos", classes, splits["train"], test=splits["test"], licence="CC BY (scikit-learn's photos)")
