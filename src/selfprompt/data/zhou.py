"""The layout of CoOp's data sets: split files with names of classes, and ImageNet's folders beside classnames.txt.

As its repository's DATASETS.md describes it (Zhou et al., arXiv 2109.01134).
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from selfprompt.data.listed import ROOT, Listed, data_root, folders_named
from selfprompt.data.tree import subfolders, walk
from selfprompt.errors import UserError
from selfprompt.files import checked, damaged, read_json, read_names

FIX = "download it again"
Named = tuple[dict[str, Listed], dict[Any, str]]
"""Splits, and the names of their labels."""

OTHER_NAMES = {"n04008634": "projectile", "n04355933": "sunglass"}
"""CLIP's names, which classnames.txt has, call two pairs of classes alike (missile, sunglasses), and no text could
tell them apart: one of each pair takes another of WordNet's words. It is our one difference from CoOp's names."""


class SplitFile(BaseModel):
    """A split_zhou_*.json: (path, label, name of the class) of each image."""

    train: list[tuple[str, int, str]]
    val: list[tuple[str, int, str]]
    test: list[tuple[str, int, str]]


def place(name: str, folder: str) -> Path:
    """The folder of a data set.

    Raises:
        UserError: There is none.
    """
    root = data_root()
    found = folders_named(root, [folder], depth=2) if root.is_dir() else []
    if not found:
        raise UserError(
            f"{name} was not found: {root} has no folder {folder}; set {ROOT} to the folder that holds it."
        )
    return found[0]


def there(name: str, path: Path) -> Path:
    """A file or folder, which must be there.

    Raises:
        UserError: It is not.
    """
    if not path.exists():
        raise UserError(f"{name}: {path} is missing; CoOp's DATASETS.md says where it is to be had.")
    return path


def split_file(name: str, folder: Path, images: str, split: str) -> Named:
    """Splits of CoOp's split file.

    Raises:
        UserError: It is missing, or damaged.
    """
    path = there(name, folder / f"split_zhou_{split}.json")
    found = checked(read_json(path, FIX), SplitFile, path, FIX)
    root = there(name, folder / images)
    names: dict[Any, str] = {}
    splits: dict[str, Listed] = {}
    for part, listed in found:
        for _, label, called in listed:
            if names.setdefault(label, called) != called:
                raise damaged(path, f"class {label} is {names[label]} and {called}", FIX)
        splits[part] = [(root / image, label) for image, label, _ in listed]
    return splits, names


def aircraft(name: str, folder: Path, images: str, split: str) -> Named:
    """Splits of FGVC-Aircraft's own lists of variants, NUMBER VARIANT a line.

    Raises:
        UserError: A list is missing, or has a variant that variants.txt lacks.
    """
    variants = read_names(there(name, folder / "variants.txt"), FIX)
    numbers = {variant: i for i, variant in enumerate(variants)}
    splits: dict[str, Listed] = {}
    for part in ("train", "val", "test"):
        path = there(name, folder / f"images_variant_{part}.txt")
        pairs = [line.partition(" ")[::2] for line in read_names(path, FIX)]
        if odd := next((variant for _, variant in pairs if variant not in numbers), None):
            raise damaged(path, f"{odd} is not in variants.txt", FIX)
        splits[part] = [(folder / images / f"{image}.jpg", numbers[variant]) for image, variant in pairs]
    return splits, dict(enumerate(variants))


def imagenet(name: str, folder: Path, images: str, split: str) -> Named:
    """ImageNet's folders of train/ and val/, which is the test.

    Raises:
        UserError: A folder or classnames.txt is missing, or lacks a class.
    """
    names = class_names(name, folder)
    places = {"train": folder / images / "train", "test": folder / images / "val"}
    return {part: class_folders(name, home, names) for part, home in places.items()}, names


def class_names(name: str, folder: Path) -> dict[Any, str]:
    """classnames.txt, WORDNET NAME a line.

    Raises:
        UserError: It is missing.
    """
    lines = read_names(there(name, folder / "classnames.txt"), FIX)
    names = {word: called.strip() for word, _, called in (line.partition(" ") for line in lines)}
    counts = Counter(names.values())
    return {w: OTHER_NAMES.get(w, called) if counts[called] > 1 else called for w, called in names.items()}


def class_folders(name: str, home: Path, names: dict[Any, str], numbered: bool = False) -> Listed:
    """Images of folders that are called like classes, or numbered as classnames.txt lists them.

    Raises:
        UserError: The folder is missing, or one in it is no class.
    """
    classes = {str(i): word for i, word in enumerate(names)} if numbered else {word: word for word in names}
    listed: Listed = []
    for folder in subfolders(there(name, home)):
        if folder.name not in classes:
            raise UserError(f"{name}: {folder} is no class of classnames.txt: remove the folder, or mend the file.")
        listed += [(Path(file.path), classes[folder.name]) for file in walk(folder)]
    return listed
