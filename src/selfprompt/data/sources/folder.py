"""A folder of class folders, flat or under train/, val/ and test/."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import numpy as np

from selfprompt.data.datasets import Dataset, Examples
from selfprompt.data.layout import (
    find_split_folders,
    is_utf8,
    not_utf8,
    refuse_dangling,
    refuse_other_layouts,
    split_of,
    too_few_classes,
)
from selfprompt.data.tree import File, LeftOut, Once, loose_images, subfolders, walk
from selfprompt.errors import UserError

logger = logging.getLogger("selfprompt")


def load_folder(root: Path) -> Dataset:
    """Read the tree ``root/CLASS/*.png`` or ``root/{train,val,test}/CLASS/*.png``.

    Classes are the sorted folder names of the training split, and other splits use its numbering. A folder that is
    named like a split is a class where images lie directly in it and other folders of images stand beside it. What
    is left out (files that are no images, loose images, splits without labels, links that lead back) is said.

    Raises:
        UserError: No class folders, one class, an empty class, a class that the training split lacks, a folder that
            may be a class or a split, splits within classes, one file in two classes or splits, a link to nothing, or
            a class name that is not UTF-8.
    """
    survey = Survey(root)
    survey.tell()
    if (dataset := survey.usable()) is None:
        raise UserError(survey.problems[0])
    return dataset


def images_below(root: Path, home: Path | None = None) -> list[Path]:
    """Every image file below ``root`` (of the data set ``home``), in a fixed order; what is left out is said."""
    left = LeftOut()
    images = [Path(file.path) for file in walk(root, home, left)]
    for notice in left.notices(root):
        logger.warning("%s", notice)
    return images


class Survey:
    """All of a folder: its examples, everything that is wrong with it, and what is left out.

    Args:
        root: The folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.problems: list[str] = []
        self.class_names: list[str] = []
        self.splits: dict[str, Examples] = {}
        self._notices: list[str] = []
        self._left, self._once = LeftOut(), Once()
        self._unread: dict[Path, str] = {}  # what to say of a folder without images
        self._places: dict[str, tuple[str, str]] = {}  # split and class of each file taken
        try:
            folders = find_split_folders(root)
            self._say_loose(root)
            self._read_train(folders.get("train", root))
            for split in ("val", "test"):
                if split in folders:
                    self._read_other(split, folders[split])
            if folders:
                self._refuse_beside(folders)
        except UserError as error:
            self.problems.append(str(error))

    def tell(self) -> None:
        """Log what is left out."""
        for notice in self._notices + self._left.notices(self.root):
            logger.warning("%s", notice)

    def usable(self) -> Dataset | None:
        """The data set; None where there are problems."""
        if self.problems:
            return None
        return Dataset(
            name=os.fsencode(self.root.resolve().name).decode("utf-8", "replace"),
            class_names=tuple(self.class_names),
            train=self.splits["train"],
            val=self.splits.get("val"),
            test=self.splits.get("test"),
            licence="the user's own",
            root=self.root,
        )

    def _read_train(self, folder: Path) -> None:
        files = self._files(folder)
        if folder != self.root:
            self._say_loose(folder)
        elif named := [child for child in files if split_of(child)]:
            self._notices.append(
                f"{named[0]} is named like a split and read as a class, as images lie in it directly: where it is a "
                f"split, put its images into class folders, and the other classes into {self.root / 'train'}"
            )
        self.class_names = [child.name for child in files]
        self.splits["train"] = self._take("train", files)
        self.problems += [not_utf8(child) for child in files if not is_utf8(child.name)]
        if len(files) < 2:
            self.problems.insert(0, too_few_classes(folder, list(files), folder != self.root))

    def _read_other(self, split: str, folder: Path) -> None:
        files = self._files(folder)
        if not any(files.values()) and (loose := loose_images(folder)):
            self._notices.append(
                f"{folder} has no class folders, so its {len(loose):,} image(s) have no labels: they are left out, "
                f"and the {split} split is cut from the training images"
            )
            return
        self._say_loose(folder)
        strangers = [child for child, found in files.items() if child.name not in self.class_names and found]
        self.problems += [
            f"{child} is a class that the training split lacks: remove it, or add images of it to the training "
            f"split; images without labels belong elsewhere."
            for child in strangers
        ]
        taken = self._take(split, {child: found for child, found in files.items() if child.name in self.class_names})
        self.splits[split] = taken
        if not len(taken) and not strangers:
            self.problems.append(f"{folder} has no images: add some, or remove the folder.")

    def _files(self, folder: Path) -> dict[Path, list[File]]:
        """The images below each class folder. A folder without images is none where it, or the root, is a run's."""
        refuse_dangling(folder)
        files = {}
        in_run = (self.root / "run.json").is_file()
        for child in subfolders(folder):
            left = LeftOut()
            found = list(walk(child, self.root, left))
            if found or not (left.runs or in_run or str(child) in left.links):
                files[child] = found
            if found or not in_run:
                self._left.add(left)
            if not found:
                self._unread[child] = f" that can be read ({len(left.others):,} other files)" if left.others else ""
        refuse_other_layouts(folder, self.root, files)
        return files

    def _take(self, split: str, files: dict[Path, list[File]]) -> Examples:
        """Examples of the files, each file once."""
        numbers = {name: number for number, name in enumerate(self.class_names)}
        images: list[Path] = []
        labels: list[int] = []
        clashes = []
        for child, found in files.items():
            if not found:
                self.problems.append(f"{child} has no images{self._unread[child]}: add some, or remove the folder.")
            for file in found:
                before = self._once.take(file)
                if before is None:
                    self._places[file.path] = split, child.name
                    images.append(Path(file.path))
                    labels.append(numbers[child.name])
                elif self._places[before] == (split, child.name):
                    self._left.twice.append(file.path)
                else:
                    clashes.append((before, file.path))
        if clashes:
            one, other = clashes[0]
            what = "classes" if self._places[one][0] == split else "splits"
            more = f" (and {len(clashes) - 1:,} more)" if len(clashes) > 1 else ""
            self.problems.append(f"{one} and {other} are one file in two {what}{more}: remove one of them.")
        return Examples(images, np.asarray(labels, dtype=np.int64))

    def _say_loose(self, folder: Path) -> None:
        if loose := loose_images(folder):
            self._notices.append(
                f"{len(loose):,} image(s) directly in {folder} are in no class folder and left out, "
                f"such as {loose[0]}"
            )

    def _refuse_beside(self, folders: dict[str, Path]) -> None:
        """Folders of images beside the splits, unless the splits link into them."""
        for child in subfolders(self.root):
            if child in folders.values():
                continue
            files = list(walk(child, self.root))
            if files and not any(file in self._once for file in files):
                split = folders["train"]
                self.problems.append(
                    f"{child} has images and stands beside {split}, which is read as the train split: move "
                    f"{child.name} into it if it is a class, or out of {self.root}; if {split.name} is a class, "
                    f"rename it."
                )
