"""NABirds, on disk."""

from __future__ import annotations

from selfprompt.data.datasets import Dataset
from selfprompt.data.listed import Expected, fgvc_layouts, find, id_lists
from selfprompt.registry import Record

RECORD = Record(
    name="nabirds",
    title="NABirds",
    url="https://dl.allaboutbirds.org/nabirds",
    year=2015,
    idea="555 kinds of North American birds (FGVC), looked for on disk.",
    on_disk=True,
)


def load() -> Dataset:
    """Its official split, in VPT's, SPT's or its own layout.

    Raises:
        UserError: It is not on disk, or not whole; the message names the file.
    """
    expected = Expected("nabirds", 555, 23_929, 24_633)
    return find(expected, ("nabirds",), fgvc_layouts("NABirds", id_lists))
