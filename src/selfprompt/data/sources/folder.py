"""A folder of class folders, flat or under train/, val/ and test/."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import numpy as np

from selfprompt.data.datasets import Dataset, Examples
from selfprompt.data.images import IMAGE_SUFFIXES
from selfprompt.errors import UserError

logger = logging.getLogger("selfprompt")

SPLIT_NAMES = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}


def load_folder(root: Path) -> Dataset:
    """Read the tree ``root/CLASS/*.png`` or ``root/{train,val,test}/CLASS/*.png``.

    Classes are the sorted folder names of the training split, and other splits use its numbering.

    Raises:
        UserError: No class folders, one class, an empty class, or a class that the training split lacks.
    """
    split_folders = find_split_folders(root)
    if split_folders and "train" not in split_folders:
        raise UserError(f"{root} has {', '.join(sorted(split_folders))} but no train folder: add {root / 'train'}.")
    train_root = split_folders.get("train", root)
    class_names = [folder.name for folder in subfolders(train_root)]
    if len(class_names) < 2:
        found = f"one class folder ({class_names[0]})" if class_names else "no class folders"
        raise UserError(
            f"{train_root} has {found}, and a classifier needs two: put the images of each class "
            f"into a folder of its own, as in {train_root / 'cat' / '1.jpg'}."
        )
    splits = {name: read_split(folder, class_names) for name, folder in split_folders.items() if name != "train"}
    return Dataset(
        name=root.resolve().name,
        class_names=tuple(class_names),
        train=read_split(train_root, class_names),
        val=splits.get("val"),
        test=splits.get("test"),
        licence="the user's own",
        root=root,
    )


def find_split_folders(root: Path) -> dict[str, Path]:
    """The split folders directly under ``root``; empty where it is flat."""
    names = {folder.name.lower(): folder for folder in subfolders(root)}
    return {split: names[alias] for split, aliases in SPLIT_NAMES.items() for alias in aliases if alias in names}


def subfolders(root: Path) -> list[Path]:
    """Folders directly under ``root``, sorted, without hidden ones."""
    return sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))


def images_below(root: Path) -> list[Path]:
    """Every image file below ``root``, sorted; files that are no images by name are said to be left out."""
    images, others = [], []
    for folder, subfolder_names, names in os.walk(root, followlinks=True):
        subfolder_names[:] = sorted(n for n in subfolder_names if not n.startswith("."))
        for name in sorted(names):
            if not name.startswith("."):
                path = Path(folder) / name
                (images if path.suffix.lower() in IMAGE_SUFFIXES else others).append(path)
    if others:
        logger.warning(
            "%d file(s) under %s are no images by name and left out, such as %s", len(others), root, others[0]
        )
    return images


def read_split(root: Path, class_names: list[str]) -> Examples:
    """The examples of one split; ``class_names`` are the training split's."""
    strangers = [folder.name for folder in subfolders(root) if folder.name not in class_names]
    if strangers:
        raise UserError(
            f"{root / strangers[0]} is a class that the training split lacks: "
            f"remove it, or add images of it to the training split."
        )
    images: list[Path] = []
    labels: list[int] = []
    for label, name in enumerate(class_names):
        folder = root / name
        found = images_below(folder) if folder.is_dir() else []
        if not found and folder.is_dir():
            raise UserError(f"{folder} has no images: add some, or remove the folder.")
        images += found
        labels += [label] * len(found)
    if not images:
        raise UserError(f"{root} has no images.")
    return Examples(images, np.asarray(labels, dtype=np.int64))
