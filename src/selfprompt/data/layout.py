"""How folders are laid out: which are splits and which are classes, and what is laid out for something else."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from selfprompt.data.tree import File, dangling, holds_images, subfolders
from selfprompt.errors import UserError

SPLIT_NAMES = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing"),
}
PICTURES = {"images", "imgs", "jpegimages"}
ANNOTATIONS = {"labels", "annotations", "annots", "masks"}


def split_named(name: str, known: Mapping[str, Sequence[str]] = SPLIT_NAMES) -> str | None:
    """The split that something is named like, by the names that each split is known by."""
    return next((split for split, names in known.items() if name.lower() in names), None)


def split_of(folder: Path) -> str | None:
    """The split that a folder is named like."""
    return split_named(folder.name)


def find_split_folders(root: Path) -> dict[str, Path]:
    """The split folders directly under ``root``; empty where it is flat.

    One name of a split among folders of images, with images directly in it, is a class's (bus, car, train).

    Raises:
        UserError: There is no train folder, two folders for one split, or a link to nothing.
    """
    refuse_dangling(root)
    named = [(split, child) for child in subfolders(root) if (split := split_of(child))]
    nested = any(holds_images(below, root) for _, child in named for below in subfolders(child))
    beside = any(holds_images(child, root) for child in subfolders(root) if not split_of(child))
    folders = dict(named)
    if not nested and beside and len(folders) < 2:
        return {}
    names = ", ".join(child.name for _, child in named)
    if len(named) > len(folders):
        raise UserError(
            f"{root} has two folders for one split among {names}: merge them, or rename one if it is a class."
        )
    if named and "train" not in folders:
        raise UserError(
            f"{root} has {names}, read as a split, but no train folder: put the class folders of the training images "
            f"into {root / 'train'}, or rename {named[0][1].name} if it is a class."
        )
    return folders


def refuse_other_layouts(folder: Path, root: Path, files: Mapping[Path, Sequence[File]]) -> None:
    """Refuse folders that stand where classes should, and are none.

    Args:
        folder: What they stand in: ``root``, or a split's folder.
        root: Of the data set.
        files: The images below each of them.

    Raises:
        UserError: Images beside annotations (for detection or segmentation), or splits within the classes.
    """
    names = {child.name.lower(): child.name for child in files}
    if (pictures := PICTURES & names.keys()) and (others := ANNOTATIONS & names.keys()):
        raise UserError(
            f"{folder} has {names[min(pictures)]} beside {names[min(others)]}, as for detection or segmentation: put "
            f"the images of each class into a folder of its own, as in {folder / 'cat' / '1.jpg'}."
        )
    for child, found in files.items() if len(files) > 1 else ():
        below = {file.path[len(str(child)) + 1 :].split(os.sep)[0] for file in found}
        within = {split: name for name in sorted(below) if (split := split_of(child / name))}
        if len(within) > 1:
            raise UserError(
                f"{child} has the splits {' and '.join(within.values())} in it: put classes into splits, not splits "
                f"into classes, as in {root / within.get('train', 'train') / child.name}; or rename them."
            )


def refuse_dangling(folder: Path) -> None:
    """Refuse links to nothing, which may have been classes or splits.

    Raises:
        UserError: There is one directly in the folder.
    """
    for link in dangling(folder):
        raise UserError(f"{link} is a link to {os.readlink(link)}, which is not there: mend the link, or remove it.")


def too_few_classes(folder: Path, classes: list[Path], is_split: bool) -> str:
    """The problem of a folder with fewer than two classes."""
    found = f"one class folder ({classes[0].name})" if classes else "no class folders"
    text = (
        f"{folder} has {found}, and a classifier needs two: put the images of each class into a folder of its own, "
        f"as in {folder / 'cat' / '1.jpg'}"
    )
    if is_split:
        return f"{text}; {folder.name} is read as a split: rename it if it is a class."
    if classes and len(subfolders(classes[0])) > 1:
        return f"{text}; or give {classes[0]} if the class folders are in there."
    return f"{text}."


def is_utf8(name: str) -> bool:
    """Whether a file name is Unicode text, and not bytes that Python had to escape."""
    return not any("\ud800" <= letter <= "\udfff" for letter in name)


def not_utf8(folder: Path) -> str:
    """The problem of a class folder whose name cannot be written down."""
    raw = os.fsencode(folder.name)
    return (
        f"The class folder {raw!r} in {folder.parent} has a name that is not UTF-8: rename it, "
        f"to {raw.decode('latin-1')} for example."
    )
