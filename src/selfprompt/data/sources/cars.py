"""Stanford Cars, on disk."""

from __future__ import annotations

from pathlib import Path

from scipy.io import loadmat

from selfprompt.data.datasets import Dataset
from selfprompt.data.listed import Expected, Listed, fgvc_layouts, find
from selfprompt.errors import UserError
from selfprompt.registry import Record

RECORD = Record(
    name="cars",
    title="Stanford Cars",
    url="https://ai.stanford.edu/~jkrause/cars/car_dataset.html",
    year=2013,
    idea="196 models of cars (FGVC), looked for on disk.",
    on_disk=True,
)


def original(folder: Path) -> dict[str, Listed] | None:
    """Its own: the devkit"s annotations, here or under devkit/, beside cars_train/ and cars_test/.

    Numbers restart in both folders, so that the lists of the older single archive (car_ims/) do not fit.
    """
    files = {"train": "cars_train_annos.mat", "test": "cars_test_annos_withlabels.mat"}
    for home in (folder, folder / "devkit"):
        if (home / files["train"]).is_file():
            splits: dict[str, Listed] = {}
            for split, name in files.items():
                path = home / name if (home / name).is_file() else folder / name
                if not path.is_file():
                    raise UserError(f"cars: {path} is missing (the test labels are a file of their own).")
                found = loadmat(path, squeeze_me=True)["annotations"]
                pairs = zip(found["fname"].tolist(), found["class"].tolist())
                splits[split] = [(folder / f"cars_{split}" / image, int(label)) for image, label in pairs]
            return splits
    return None


def load() -> Dataset:
    """Its official split, in VPT's, SPT's or its own layout.

    Raises:
        UserError: It is not on disk, or not whole; the message names the file.
    """
    expected = Expected("cars", 196, 8_144, 8_041)
    return find(expected, ("StanfordCars", "Cars"), fgvc_layouts("Cars", original))
