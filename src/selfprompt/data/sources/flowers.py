"""Oxford 102 Flowers, on disk."""

from __future__ import annotations

from pathlib import Path

from scipy.io import loadmat

from selfprompt.data.datasets import Dataset
from selfprompt.data.listed import Expected, Listed, fgvc_layouts, find
from selfprompt.registry import Record

RECORD = Record(
    name="flowers",
    title="Oxford 102 Flowers",
    url="https://www.robots.ox.ac.uk/~vgg/data/flowers/102/",
    year=2008,
    idea="102 kinds of flowers (FGVC), looked for on disk.",
    on_disk=True,
)


def original(folder: Path) -> dict[str, Listed] | None:
    """Its own: imagelabels.mat and setid.mat beside jpg/image_00001.jpg."""
    if not all((folder / name).is_file() for name in ("imagelabels.mat", "setid.mat")):
        return None
    labels = loadmat(folder / "imagelabels.mat", squeeze_me=True)["labels"]
    sets = loadmat(folder / "setid.mat", squeeze_me=True)
    return {
        split: [(folder / "jpg" / f"image_{i:05d}.jpg", int(labels[i - 1])) for i in sets[key].tolist()]
        for split, key in (("train", "trnid"), ("val", "valid"), ("test", "tstid"))
    }


def load() -> Dataset:
    """Its official split, in VPT's, SPT's or its own layout.

    Raises:
        UserError: It is not on disk, or not whole; the message names the file.
    """
    expected = Expected("flowers", 102, 2_040, 6_149)
    return find(expected, ("OxfordFlowers", "Flowers", "flowers102"), fgvc_layouts("Flowes", original))
