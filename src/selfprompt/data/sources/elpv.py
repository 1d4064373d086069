"""Photovoltaic cells in electroluminescence, from the PyPI package elpv-dataset."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from selfprompt.data.datasets import Dataset, Examples
from selfprompt.errors import UserError
from selfprompt.registry import Record

RECORD = Record(
    name="elpv",
    title="A Benchmark for Visual Identification of Defective Solar Cells in Electroluminescence Imagery",
    url="https://github.com/zae-bayern/elpv-dataset",
    year=2018,
    idea="2,624 real solar cells: mono- or polycrystalline, defective or not (four classes).",
    extra="elpv",
    parts=("", "defect", "type", "grade"),
)


@lru_cache
def cells() -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """All cells, read once for whatever is asked of them, with their defect probabilities and kinds."""
    try:
        from elpv_dataset.utils import load_dataset  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise UserError("The data set elpv needs an extra: pip install 'selfprompt[elpv]'.") from None
    images, probability, kind = load_dataset()
    return list(images), probability, kind


@lru_cache
def load(part: str | None = None) -> Dataset:
    """The 2,624 cells as one split, in four classes; or one of three questions about them.

    ``defect``: sound or defective, cut at a defect probability of one half (ours). ``type``: mono- or
    polycrystalline. ``grade``: the package's four probabilities, 0, 1/3, 2/3 and 1.
    """
    images, probability, kind = cells()
    grade = np.rint(3 * np.asarray(probability, dtype=float)).astype(np.int64)
    defect, poly = grade > 1, np.asarray(kind) == "poly"
    names, labels = {
        None: (("mono, sound", "mono, defective", "poly, sound", "poly, defective"), 2 * poly + defect),
        "defect": (("sound", "defective"), defect),
        "type": (("mono", "poly"), poly),
        "grade": (("0", "1/3", "2/3", "1"), grade),
    }[part]
    name = "elpv" if part is None else f"elpv/{part}"
    return Dataset(name, names, Examples(images, labels.astype(np.int64)), licence="CC BY-NC-SA 4.0")
