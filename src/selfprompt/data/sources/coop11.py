"""CoOp's eleven data sets on disk, in its folders and with its split files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from selfprompt.registry import Record

if TYPE_CHECKING:
    from selfprompt.data.datasets import Dataset

RECORD = Record(
    name="coop11",
    paper="coop2022",
    idea="The eleven data sets of CoOp, with its splits and class names, looked for on disk.",
    on_disk=True,
    parts=(
        "imagenet",
        "caltech101",
        "pets",
        "cars",
        "flowers",
        "food101",
        "aircraft",
        "sun397",
        "dtd",
        "eurosat",
        "ucf101",
    ),
)


@dataclass(frozen=True)
class Task:
    """One data set: its folder, that of its images within, how its split file ends, classes and sizes; and the text
    by which CoOp's zero-shot baseline asks for a class."""

    folder: str
    images: str
    split: str
    classes: int
    train: int
    val: int
    test: int
    text: str = "a photo of a {}."


TASKS = {
    "imagenet": Task("imagenet", "images", "", 1000, 1_281_167, 0, 50_000),
    "caltech101": Task("caltech-101", "101_ObjectCategories", "Caltech101", 100, 4_128, 1_649, 2_465),
    "pets": Task("oxford_pets", "images", "OxfordPets", 37, 2_944, 736, 3_669, "a photo of a {}, a type of pet."),
    "cars": Task("stanford_cars", "", "StanfordCars", 196, 6_509, 1_635, 8_041),
    "flowers": Task(
        "oxford_flowers", "jpg", "OxfordFlowers", 102, 4_093, 1_633, 2_463, "a photo of a {}, a type of flower."
    ),
    "food101": Task("food-101", "images", "Food101", 101, 50_500, 20_200, 30_300, "a photo of {}, a type of food."),
    "aircraft": Task("fgvc_aircraft", "images", "", 100, 3_334, 3_333, 3_333, "a photo of a {}, a type of aircraft."),
    "sun397": Task("sun397", "SUN397", "SUN397", 397, 15_880, 3_970, 19_850),
    "dtd": Task("dtd", "images", "DescribableTextures", 47, 2_820, 1_128, 1_692, "{} texture."),
    "eurosat": Task("eurosat", "2750", "EuroSAT", 10, 13_500, 5_400, 8_100, "a centered satellite photo of {}."),
    "ucf101": Task(
        "ucf101", "UCF-101-midframes", "UCF101", 101, 7_639, 1_898, 3_783, "a photo of a person doing {}."
    ),
}
"""Sizes are of the split files; aircraft has its official lists, and ImageNet's test is its validation set."""


def load(part: str) -> Dataset:
    """One data set with its own train, val and test; ImageNet has no val, which is then cut from train.

    Raises:
        UserError: It is not on disk, or not whole; the message names the file.
    """
    from selfprompt.data import zhou  # not before data is read: flags name the tasks
    from selfprompt.data.listed import Expected, checked

    task, name = TASKS[part], f"coop11/{part}"
    readers = {"imagenet": zhou.imagenet, "aircraft": zhou.aircraft}
    folder = zhou.place(name, task.folder)
    splits, names = readers.get(part, zhou.split_file)(name, folder, task.images, task.split)
    return checked(Expected(name, task.classes, task.train + task.val, task.test), folder, splits, names)
