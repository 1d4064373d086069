"""Photovoltaic cells in electroluminescence, from the PyPI package elpv-dataset."""

from __future__ import annotations

import numpy as np

from selfprompt.data.datasets import Dataset, Examples
from selfprompt.errors import UserError
from selfprompt.registry import Record

RECORD = Record(
    name="elpv",
    kind="dataset",
    title="A Benchmark for Visual Identification of Defective Solar Cells in Electroluminescence Imagery",
    url="https://github.com/zae-bayern/elpv-dataset",
    year=2018,
    idea="2,624 real solar cells: mono- or polycrystalline, defective or not (four classes).",
    supports=("extra: elpv",),
)

CLASS_NAMES = ("mono, sound", "mono, defective", "poly, sound", "poly, defective")


def load() -> Dataset:
    """The 2,624 cells as one split; a cell whose defect probability is above one half counts as defective.

    The package grades each cell 0, 1/3, 2/3 or 1; the cut at one half is ours.
    """
    try:
        from elpv_dataset.utils import load_dataset  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise UserError("The data set elpv needs an extra: pip install 'selfprompt[elpv]'.") from None
    images, defect, cell_type = load_dataset()
    labels = 2 * (np.asarray(cell_type) == "poly") + (np.asarray(defect, dtype=float) > 0.5)
    return Dataset("elpv", CLASS_NAMES, Examples(list(images), labels.astype(np.int64)), licence="CC BY-NC-SA 4.0")
