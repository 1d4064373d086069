"""VTAB-1K on disk, in the layouts of NOAH and of SPT; never through TensorFlow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from selfprompt.registry import Record

if TYPE_CHECKING:
    from selfprompt.data.datasets import Dataset

RECORD = Record(
    name="vtab",
    paper="vtab2019",
    idea="VTAB-1K: 19 tasks of 1,000 labelled images, looked for on disk.",
    on_disk=True,
    parts=(
        "cifar100",
        "caltech101",
        "dtd",
        "flowers102",
        "pets",
        "svhn",
        "sun397",
        "patch_camelyon",
        "eurosat",
        "resisc45",
        "retinopathy",
        "clevr_count",
        "clevr_distance",
        "dmlab",
        "kitti",
        "dsprites_location",
        "dsprites_orientation",
        "smallnorb_azimuth",
        "smallnorb_elevation",
    ),
)


@dataclass(frozen=True)
class Task:
    """One task: its group, classes, test images, and the folders' names in NOAH's and SPT's layouts."""

    group: str
    classes: int
    test: int
    folders: tuple[str, ...]


TASKS = {
    "cifar100": Task("natural", 100, 10_000, ("cifar", "cifar100", "CIFAR100")),
    "caltech101": Task("natural", 102, 6_084, ("caltech101", "Caltech101")),
    "dtd": Task("natural", 47, 1_880, ("dtd", "DTD")),
    "flowers102": Task("natural", 102, 6_149, ("oxford_flowers102",)),
    "pets": Task("natural", 37, 3_669, ("oxford_iiit_pet",)),
    "svhn": Task("natural", 10, 26_032, ("svhn", "SVHN")),
    "sun397": Task("natural", 397, 21_750, ("sun397", "SUN397")),
    "patch_camelyon": Task("specialized", 2, 32_768, ("patch_camelyon", "Patch_Camelyon")),
    "eurosat": Task("specialized", 10, 5_400, ("eurosat", "Eurosat")),
    "resisc45": Task("specialized", 45, 6_300, ("resisc45", "Resisc45")),
    "retinopathy": Task("specialized", 5, 42_670, ("diabetic_retinopathy", "Retinopathy")),
    "clevr_count": Task("structured", 8, 15_000, ("clevr_count", "Clevr_Count")),
    "clevr_distance": Task("structured", 6, 15_000, ("clevr_dist", "Clevr_Dist")),
    "dmlab": Task("structured", 6, 22_735, ("dmlab", "DMLab")),
    "kitti": Task("structured", 4, 711, ("kitti", "Kitti")),
    "dsprites_location": Task("structured", 16, 73_728, ("dsprites_loc", "Dsprites_loc")),
    "dsprites_orientation": Task("structured", 16, 73_728, ("dsprites_ori", "Dsprites_ori")),
    "smallnorb_azimuth": Task("structured", 18, 12_150, ("smallnorb_azi", "Smallnorb_azi")),
    "smallnorb_elevation": Task("structured", 9, 12_150, ("smallnorb_ele", "Smallnorb_ele")),
}


NOAH = {"train": "train800.txt", "val": "val200.txt", "test": "test.txt"}
"""Lists of NOAH's layout, TASK/LIST, whose paths are relative to the task's folder."""

SPT = {"train": "train800val200.txt", "test": "test.txt"}
"""Lists of SPT's layout, VTAB-1K/GROUP/TASK/LIST; validation images are cut from the 1,000."""


def load(part: str) -> Dataset:
    """One task.

    Raises:
        UserError: It is not on disk, or not whole; the message names the file.
    """
    from selfprompt.data.listed import Expected, find, text_lists  # not before data is read: flags name the tasks

    task = TASKS[part]
    layouts = [lambda folder, files=files: text_lists(folder, files, folder) for files in (NOAH, SPT)]
    return find(Expected(f"vtab/{part}", task.classes, 1000, task.test), task.folders, layouts)
