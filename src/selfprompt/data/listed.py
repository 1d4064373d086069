"""Benchmarks on disk: images that lists assign to splits and classes, in whatever layout they were handed on.

Nothing is downloaded. The folder that holds them is the environment's ``SELFPROMPT_DATA``, or ``data``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from selfprompt.data.datasets import Dataset, Examples
from selfprompt.errors import UserError
from selfprompt.files import read_json, read_text

ROOT = "SELFPROMPT_DATA"

Listed = list[tuple[Path, Any]]
"""Images and their labels as a list has them: numbers or names."""

Layout = Callable[[Path], dict[str, Listed] | None]
"""A folder to its splits (train, val, test) where it is laid out this way, else None."""


@dataclass(frozen=True)
class Expected:
    """What a data set must hold.

    Args:
        name: Its name.
        classes: Classes.
        labelled: Images for training and validation together.
        test: Test images.
    """

    name: str
    classes: int
    labelled: int
    test: int


def data_root() -> Path:
    """Where benchmarks are looked for."""
    return Path(os.environ.get(ROOT, "data"))


def plain(name: str) -> str:
    """A folder's name without case, ``_``, ``-``, blanks and a plural's s: what users vary."""
    return re.sub(r"[_\-\s]", "", name.lower()).removesuffix("s")


def folders_named(root: Path, names: Iterable[str], depth: int = 3) -> list[Path]:
    """Folders at most ``depth`` below ``root`` whose plain name is one of ``names``' plain names."""
    wanted, found, level = {plain(name) for name in names}, [], [root]
    for _ in range(depth):
        level = [child for folder in level if folder.is_dir() for child in sorted(folder.iterdir()) if child.is_dir()]
        found += [folder for folder in level if plain(folder.name) in wanted]
    return found


def find(expected: Expected, names: Sequence[str], layouts: Sequence[Layout]) -> Dataset:
    """The first folder under the root that is laid out in one of the known ways, read and checked.

    Raises:
        UserError: There is none, or what is there is not whole; the message names the file.
    """
    root = data_root()
    folders = folders_named(root, names) if root.is_dir() else []
    for folder in folders:
        for layout in layouts:
            splits = layout(folder)
            if splits is not None:
                return checked(expected, folder, splits)
    there = f"{folders[0]} is laid out in no way that is known" if folders else f"{root} has no folder {names[0]}"
    raise UserError(f"{expected.name} was not found: {there}; set {ROOT} to the folder that holds it.")


def checked(
    expected: Expected, folder: Path, splits: dict[str, Listed], names: dict[Any, str] | None = None
) -> Dataset:
    """Listed images as a data set, numbered by the labels of the training split, or of the test if it is alone.

    Args:
        expected: What there should be.
        folder: Where it is.
        splits: Images and labels by split.
        names: Of the labels, where these are not their own.

    Raises:
        UserError: A split has another size, a label map is shifted or incomplete, an image is in two splits or not
            on disk.
    """
    labelled = sum(len(listed) for split, listed in splits.items() if split != "test")
    for what, size, wanted in (
        ("labelled", labelled, expected.labelled),
        ("test", len(splits["test"]), expected.test),
    ):
        if size != wanted:
            raise UserError(f"{expected.name}: {folder} lists {size:,} {what} images, not {wanted:,}.")
    first = "train" if "train" in splits else "test"
    labels = sorted({label for _, label in splits[first]}, key=label_order)
    if len(labels) != expected.classes:
        raise UserError(
            f"{expected.name}: the {first} list in {folder} has {len(labels)} classes, not {expected.classes}."
        )
    numbers = {label: number for number, label in enumerate(labels)}
    seen: dict[Path, str] = {}
    none = Examples([], np.empty(0, dtype=np.int64))
    examples = {} if first == "train" else {"train": none, "val": none}
    for split, listed in splits.items():
        for path, label in listed:
            if label not in numbers:
                raise UserError(
                    f"{expected.name}: the {split} list in {folder} has the label {label!r}, which the train list "
                    f"lacks (its labels are {labels[0]!r} to {labels[-1]!r}): is one of them shifted?"
                )
            if seen.setdefault(path, split) != split:
                raise UserError(f"{expected.name}: {path} is in both {seen[path]} and {split}.")
        if missing := next((path for path, _ in listed if not path.is_file()), None):
            raise UserError(f"{expected.name}: the {split} list in {folder} has {missing}, which is not there.")
        images = [path for path, _ in listed]
        examples[split] = Examples(images, np.array([numbers[label] for _, label in listed], dtype=np.int64))
    return Dataset(
        expected.name,
        tuple(str((names or {}).get(label, label)) for label in labels),
        examples["train"],
        examples.get("val"),
        examples.get("test"),
        "see the data set's own",
        folder,
    )


def label_order(label: Any) -> tuple[bool, Any]:
    """Numbers by value, whether they are written as such or as strings; then names."""
    text = str(label)
    return (False, int(text)) if text.isdigit() else (True, text)


def read_text_list(path: Path, images: Path) -> Listed:
    """Lines of ``relative/path label``; the path may hold blanks.

    Raises:
        UserError: A line is written otherwise.
    """
    listed: Listed = []
    for number, line in enumerate(read_text(path, "restore it").splitlines(), start=1):
        if line.strip():
            name, _, label = line.strip().rpartition(" ")
            if not name or not label.isdigit():
                raise UserError(f"{path}, line {number}: {line!r} is not a path and a number.")
            listed.append((images / name.strip(), int(label)))
    return listed


def text_lists(folder: Path, files: dict[str, str], images: Path) -> dict[str, Listed] | None:
    """Splits of text lists in a folder, of images below another; None where one of them is missing."""
    paths = {split: folder / name for split, name in files.items()}
    if not all(path.is_file() for path in paths.values()):
        return None
    return {split: read_text_list(path, images) for split, path in paths.items()}


def json_lists(folder: Path, images: str = "") -> dict[str, Listed] | None:
    """Splits of train.json, val.json and test.json, each ``{path: class}``; None where train or test is missing."""
    splits: dict[str, Listed] = {}
    for split in ("train", "val", "test"):
        path = folder / f"{split}.json"
        if path.is_file():
            listed = read_json(path, "restore it")
            root = folder / images if (folder / images).is_dir() else folder
            splits[split] = [(root / name, label) for name, label in listed.items()]
    return splits if {"train", "test"} <= splits.keys() else None


def fgvc_layouts(lists: str, original: Layout) -> tuple[Layout, ...]:
    """The layouts in which the five FGVC data sets are handed on.

    Args:
        lists: What SPT's text lists begin with, as ``Dogs`` in Dogs_train.txt; they stand beside the images or above.
        original: The reader of the data set's own distribution.
    """

    def images_of(folder: Path) -> str:
        return next((name for name in ("images", "Images", "102flowers/jpg") if (folder / name).is_dir()), "")

    def vpt(folder: Path) -> dict[str, Listed] | None:
        return json_lists(folder, images_of(folder))

    def spt(folder: Path) -> dict[str, Listed] | None:
        files = {split: f"{lists}_{split}.txt" for split in ("train", "test")}
        homes = (text_lists(home, files, folder / images_of(folder)) for home in (folder, folder.parent))
        return next((found for found in homes if found), None)

    return vpt, spt, original


def id_lists(folder: Path) -> dict[str, Listed] | None:
    """CUB's and NABirds' own: images.txt, image_class_labels.txt and train_test_split.txt, joined by image id."""
    names = ("images.txt", "image_class_labels.txt", "train_test_split.txt")
    if not all((folder / name).is_file() for name in names):
        return None
    paths, labels, training = (
        dict(line.split(maxsplit=1) for line in read_text(folder / name, "restore it").splitlines() if line.strip())
        for name in names
    )
    splits: dict[str, Listed] = {"train": [], "test": []}
    for image, path in paths.items():
        split = "train" if training[image].strip() == "1" else "test"
        splits[split].append((folder / "images" / path.strip(), int(labels[image])))
    return splits
