"""Stanford Dogs, on disk."""

from __future__ import annotations

from pathlib import Path

from scipy.io import loadmat

from selfprompt.data.datasets import Dataset
from selfprompt.data.listed import Expected, Listed, fgvc_layouts, find
from selfprompt.registry import Record

RECORD = Record(
    name="dogs",
    title="Stanford Dogs",
    url="http://vision.stanford.edu/aditya86/ImageNetDogs/",
    year=2011,
    idea="120 breeds of dogs (FGVC), looked for on disk.",
    on_disk=True,
)


def original(folder: Path) -> dict[str, Listed] | None:
    """Its own: train_list.mat and test_list.mat, here or under lists/, beside Images/."""
    for home in (folder, folder / "lists"):
        if all((home / f"{split}_list.mat").is_file() for split in ("train", "test")):
            splits: dict[str, Listed] = {}
            for split in ("train", "test"):
                found = loadmat(home / f"{split}_list.mat", squeeze_me=True)
                pairs = zip(found["file_list"].tolist(), found["labels"].tolist())
                splits[split] = [(folder / "Images" / name, int(label)) for name, label in pairs]
            return splits
    return None


def load() -> Dataset:
    """Its official split, in VPT's, SPT's or its own layout.

    Raises:
        UserError: It is not on disk, or not whole; the message names the file.
    """
    expected = Expected("dogs", 120, 12_000, 8_580)
    return find(expected, ("StanfordDogs", "Dogs"), fgvc_layouts("Dogs", original))
