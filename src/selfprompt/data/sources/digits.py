"""scikit-learn's bundled handwritten digits."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.datasets import load_digits

from selfprompt.data.datasets import Dataset, Examples
from selfprompt.registry import Record

RECORD = Record(
    name="digits",
    title="Optical recognition of handwritten digits (8 by 8 pixels)",
    url="https://archive.ics.uci.edu/dataset/80",
    year=1998,
    idea="1,797 tiny digits that come with scikit-learn; too easy to tell methods apart, good for a first try.",
)


def load() -> Dataset:
    """The whole set as one split; values 0 to 16 scaled to 0 to 240."""
    digits: Any = load_digits()
    images = (np.asarray(digits["images"]) * 15).astype(np.uint8)
    labels = np.asarray(digits["target"], dtype=np.int64)
    return Dataset("digits", tuple("0123456789"), Examples(list(images), labels), licence="CC BY 4.0 (UCI)")
