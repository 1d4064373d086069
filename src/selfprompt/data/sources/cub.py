"""Caltech-UCSD Birds-200-2011, on disk."""

from __future__ import annotations

from selfprompt.data.datasets import Dataset
from selfprompt.data.listed import Expected, fgvc_layouts, find, id_lists
from selfprompt.registry import Record

RECORD = Record(
    name="cub",
    title="Caltech-UCSD Birds-200-2011",
    url="https://www.vision.caltech.edu/datasets/cub_200_2011/",
    year=2011,
    idea="200 kinds of birds (FGVC), looked for on disk.",
    on_disk=True,
)


def load() -> Dataset:
    """Its official split, in VPT's, SPT's or its own layout.

    Raises:
        UserError: It is not on disk, or not whole; the message names the file.
    """
    expected = Expected("cub", 200, 5_994, 5_794)
    return find(expected, ("CUB_200_2011", "CUB", "CUB200"), fgvc_layouts("cub200", id_lists))
