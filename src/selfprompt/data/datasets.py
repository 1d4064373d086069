"""Labelled images or texts in splits, wherever they come from."""

from __future__ import annotations

import hashlib
import logging
import os
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from selfprompt.data.contents import held_by
from selfprompt.data.examples import Examples as Examples
from selfprompt.data.examples import check_labels, classes_in
from selfprompt.data.images import name_of
from selfprompt.data.protocol import BaseProtocol, Classes, Protocol, TextProtocol
from selfprompt.data.splits import TooFew, cut, half, shuffled
from selfprompt.data.tables import Kind
from selfprompt.errors import UserError
from selfprompt.files import must_be_utf8

logger = logging.getLogger("selfprompt")


@dataclass(frozen=True, repr=False)
class Dataset:
    """A named data set with the splits it came with; a missing split is None until `with_splits` makes it.

    Args:
        name: Its name.
        class_names: A name for each class.
        train, val, test: Its own splits.
        licence: Of the images, or texts.
        root: The folder that the names of files in records are relative to; of texts, the file or folder they are in.
        inputs: What they are. A text is a tuple of one string, or of two.
        table: The table of images that it was read from.
    """

    name: str
    class_names: tuple[str, ...]
    train: Examples
    val: Examples | None = None
    test: Examples | None = None
    licence: str = "unknown"
    root: Path | None = None
    inputs: Kind = "image"
    table: Path | None = None

    def __post_init__(self) -> None:
        must_be_utf8("The data set", self.name)
        for name in self.class_names:
            must_be_utf8(f"The class {'folder ' if self.inputs == 'image' else ''}of {self.name}", name)

    def __repr__(self) -> str:
        counts = ", ".join(f"{len(split):,} {name}" for name, split in self.own.items())
        return f"Dataset({self.name}: {self.num_classes:,} classes; {counts} {self.inputs}s)"

    @property
    def num_classes(self) -> int:
        """The number of classes."""
        return len(self.class_names)

    @property
    def own(self) -> dict[str, Examples]:
        """The splits that it came with, by name."""
        found = {"train": self.train, "val": self.val, "test": self.test}
        return {name: split for name, split in found.items() if split is not None}

    @property
    def place(self) -> str:
        """Where it is, as a record has it: its table or folder, or its name."""
        found = self.table or self.root
        return self.name if found is None else str(found.resolve())

    def files(self) -> dict[str, list[str]] | None:
        """The file of every image of `own`, relative to ``root``; None where images are no files."""
        named = {name: file_names(split, self.root) for name, split in self.own.items()}
        return None if None in named.values() else {name: files or [] for name, files in named.items()}

    def fingerprint(self) -> str:
        """Twelve hexadecimal digits that change where an image or text is added, removed, changed or labelled anew.

        Of an image it is the name that counts, or what it holds where it is within a table.
        """
        found = hashlib.sha256("\n".join(self.class_names).encode(errors="surrogatepass"))
        for name, split in self.own.items():
            named = map(repr, split.images) if self.inputs == "text" else names_for(split, self.root)
            files = "\n".join(named).encode(errors="surrogatepass")
            found.update(f"\n{name} {len(split)}\n".encode() + files + split.known_labels.astype("<i8").tobytes())
        return found.hexdigest()[:12]


@dataclass(frozen=True, repr=False)
class Splits:
    """The three splits that a run uses, and how they were made (kept beside the results).

    Args:
        train, val, test: Images, with labels that count ``class_names``.
        record: Of the splits with all of the data set's classes.
        class_names: Those of the run.
        kept: Which of a recorded split's images are here, by split; all where there is nothing.
    """

    train: Examples
    val: Examples
    test: Examples
    record: dict[str, Any]
    class_names: tuple[str, ...] = ()
    kept: dict[str, np.ndarray] = field(default_factory=dict)

    def __repr__(self) -> str:
        counts = ", ".join(f"{len(getattr(self, name)):,} {name}" for name in ("train", "val", "test"))
        return f"Splits({len(self.class_names):,} classes; {counts})"

    def of(self, classes: Classes) -> Splits:
        """All of its classes, or the first or second half of them, with labels from 0.

        Raises:
            UserError: A half has fewer than two.
        """
        if classes == "all":
            return self
        if self.train.multi_label:
            raise UserError(f"--classes {classes} is for images of one class each: leave it out.")
        own = half(len(self.class_names), classes)
        if len(own) < 2:
            raise UserError(
                f"{len(self.class_names)} classes have no two in their {classes} half: use --classes all, or data "
                f"with four classes or more."
            )
        parts = {"train": self.train, "val": self.val, "test": self.test}
        kept = {name: np.flatnonzero(np.isin(part.known_labels, own)) for name, part in parts.items()}
        taken = {name: part.take(kept[name]) for name, part in parts.items()}
        taken = {n: Examples(p.images, p.known_labels - own.start, p.groups) for n, p in taken.items()}
        return Splits(**taken, record=self.record, class_names=self.class_names[own.start : own.stop], kept=kept)


def with_splits(dataset: Dataset, protocol: BaseProtocol, seed: int = 0) -> Splits:
    """Fill in the splits that the data set lacks: seeded, stratified by class, and recorded.

    The test split is cut first, then the validation split, both from the training images; then
    ``protocol.train_images`` labelled images are kept for training and validation together (VTAB-1K's way). Where
    there are too few images to stratify, a cut comes as near to it as it can and leaves one image of each class to
    train on; the record's ``stratified`` is then false. Groups are never cut. ``protocol.shots`` of each class are
    drawn at the end, as in CoOp (arXiv 2109.01134), and ``protocol.classes`` chosen.

    Images with several labels are cut by `cut_several`.

    Args:
        dataset: The data set.
        protocol: Which splits.
        seed: Of a run, which draws the shots.

    Raises:
        UserError: There are too few images even so, a label fits no class, a class has fewer images than shots, a
            half of the classes has fewer than two, or a training image is in another split.
    """
    return whole_splits(dataset, protocol, seed).of(protocol.classes)


def whole_splits(dataset: Dataset, protocol: BaseProtocol, seed: int = 0) -> Splits:
    """`with_splits`, of all classes."""
    if not len(dataset.train):
        there = [name for name in dataset.own if name != "train"]
        raise UserError(
            f"{dataset.place} has no {dataset.inputs} of the split train, but of {', '.join(there)}: add some."
        )
    for name, split in dataset.own.items():
        check_labels(split, dataset.num_classes, f"{dataset.name}'s {name}")
        if name != "train" and (shared := shared_file(dataset.train, split)):
            raise UserError(f"{shared} is a training image and a {name} image of {dataset.name}: remove one of them.")
    if pairs := alike(dataset.class_names):
        logger.warning(
            "%s has the classes %s and %s (of %d such pairs), which differ in case or accents' encoding alone: where "
            "they are one, write them alike.",
            *(dataset.name, *pairs[0], len(pairs)),
        )
    rest, fixed = dataset.train, protocol.split_seed
    labels, groups = rest.known_labels, rest.groups
    counted = {"--train-images": protocol.train_images, "--shots": protocol.shots}
    if protocol.val_shots and not protocol.shots:
        raise UserError("--val-shots says how many of each class --shots leaves for validation: give --shots, too.")
    flag = next((f for f, value in counted.items() if value is not None), None)
    if flag and (groups is not None or rest.multi_label):
        why = "groups, which are kept whole" if groups is not None else "several labels an example"
        raise UserError(f"{dataset.name} has {why}: leave {flag} out.")
    left, made, stratified = np.arange(len(rest)), {}, True
    few: dict[str, Any] = {}
    try:
        if dataset.test is None:
            left, made["test"], stratified = cut(labels, left, protocol.test_fraction, fixed, groups=groups)
        if protocol.train_images is not None and protocol.train_images < len(left):
            _, left, by_class = cut(labels, left, protocol.train_images, fixed, trained=1)
            stratified &= by_class
        if protocol.shots is not None:
            left, val = few_shot(dataset, left, protocol.shots, seed, protocol.val_shots)
            few = {"shots_seed": seed} | ({} if dataset.val is None else {"val_drawn": val.tolist()})
            made |= {"val": val} if dataset.val is None else {}
        elif dataset.val is None:
            left, made["val"], by_class = cut(labels, left, protocol.val_fraction, fixed, groups=groups)
            stratified &= by_class
    except TooFew:
        if groups is not None:
            raise UserError(
                f"{dataset.name} has {len(np.unique(groups))} group(s), too few to train on one of each class and "
                f"cut others off for validation or test: add groups, or name the splits yourself."
            ) from None
        larger = "" if protocol.train_images is None else ", a larger --train-images"
        layout = ", or lay out train/, val/ and test/ folders yourself" if dataset.inputs == "image" else ""
        raise UserError(
            f"{dataset.name} has {len(rest)} {dataset.inputs}(s) of {dataset.num_classes} classes, too few to train "
            f"on one of each and cut others off for validation or test: add {dataset.inputs}s, use a smaller "
            f"--test-fraction or --val-fraction{larger}{layout}."
        ) from None
    splits = dataset.own | {name: rest.take(indices) for name, indices in (made | {"train": left}).items()}
    drawn = np.array(few.get("val_drawn", ()), dtype=np.int64)
    if "val_drawn" in few:
        splits["val"] = splits["val"].take(drawn)
    record = {
        "seed": fixed,
        "made": list(made),
        "stratified": stratified,
        **say_lacking(dataset, {name: splits[name] for name in made}),
        **{name: indices.tolist() for name, indices in (made | {"train": left}).items()},
        "data": dataset.place,
        "classes": list(dataset.class_names),
        "fingerprint": dataset.fingerprint(),
        **few,
    }
    if files := dataset.files():
        unused = np.setdiff1d(np.arange(len(rest)), np.concatenate([*made.values(), left]))
        parts = {**made, "train": left, "unused": unused}
        files |= {name: [files["train"][i] for i in part] for name, part in parts.items()}
        if "val_drawn" in few:
            left_out = np.setdiff1d(np.arange(len(files["val"])), drawn)
            files["unused"] += [files["val"][i] for i in left_out]
            files["val"] = [files["val"][i] for i in drawn]
        record |= {f"{name}_files": named for name, named in files.items()}
    return Splits(splits["train"], splits["val"], splits["test"], record, dataset.class_names)


def alike(names: Sequence[str]) -> list[tuple[str, str]]:
    """Pairs of names that differ in nothing that people see, or in case."""
    first: dict[str, str] = {}
    seen = [(first.setdefault(unicodedata.normalize("NFKC", name).casefold(), name), name) for name in names]
    return [(one, other) for one, other in seen if one != other]


def among(dataset: Dataset, names: Sequence[str]) -> Dataset:
    """A data set with its classes among others, as which they are numbered; of which it has none is said."""
    if list(names) == list(dataset.class_names):
        return dataset
    if absent := [name for name in names if name not in dataset.class_names]:
        logger.warning(
            "%s has none of %d of %d classes, such as %s.", dataset.name, len(absent), len(names), absent[0]
        )
    own = np.array([names.index(name) for name in dataset.class_names])

    def renumbered(part: Examples) -> Examples:
        labels = part.known_labels
        if part.multi_label:
            several = np.zeros((len(part), len(names)), dtype=labels.dtype)
            several[:, own] = labels
            return Examples(part.images, several, part.groups)
        return Examples(part.images, own[labels], part.groups)

    return replace(
        dataset, class_names=tuple(names), **{name: renumbered(part) for name, part in dataset.own.items()}
    )


def few_shot(
    dataset: Dataset, pool: np.ndarray, shots: int, seed: int, val_shots: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """So many of each class out of some training images, and ``val_shots`` or min(shots, 4) for validation.

    Returns:
        Indices of training images; and, as far as there are any, of the data set's own validation images, else of
        further training images.

    Raises:
        UserError: A class has too few images.
    """
    own, spare = dataset.val, val_shots or min(shots, 4)
    need = shots + (spare if own is None else 0)
    order = shuffled(dataset.train.known_labels, pool, seed, dataset.num_classes)
    for name, images in zip(dataset.class_names, order):
        if len(images) < need:
            more = f" and {spare} for validation" if own is None else ""
            raise UserError(
                f"{dataset.name} has {len(images)} {dataset.inputs}(s) of the class {name} to train on, and "
                f"--shots {shots} takes {shots} of each{more}: use fewer shots, or add {dataset.inputs}s."
            )
    if own is None:
        held = [images[shots:need] for images in order]
    else:
        others = shuffled(own.known_labels, np.arange(len(own)), seed, dataset.num_classes)
        held = [images[:spare] for images in others]
    return np.sort(np.concatenate([images[:shots] for images in order])), np.sort(np.concatenate(held))


def problems_of_split(dataset: Dataset, protocol: BaseProtocol | None = None) -> list[str]:
    """Why a run could not split the data set, in sentences; none where it can."""
    try:
        with_splits(dataset, protocol or (Protocol() if dataset.inputs == "image" else TextProtocol()))
    except UserError as error:
        return [str(error)]
    return []


def say_lacking(dataset: Dataset, made: dict[str, Examples]) -> dict[str, list[str]]:
    """``SPLIT_lacks``: the classes of which a split that was cut has no image, said where there are any."""
    everything = np.arange(dataset.num_classes)
    lacking = {
        name: [dataset.class_names[i] for i in np.setdiff1d(everything, classes_in(split.known_labels))]
        for name, split in made.items()
    }
    lacking = {name: classes for name, classes in lacking.items() if classes}
    for name, classes in lacking.items():
        logger.warning(
            "%s: the %s %ss cut from the training %ss have none of %d of %d classes, such as %s.",
            *(dataset.name, name, dataset.inputs, dataset.inputs, len(classes), dataset.num_classes, classes[0]),
        )
    return {f"{name}_lacks": classes for name, classes in lacking.items()}


def names_for(examples: Examples, root: Path | None) -> list[str]:
    """What tells images apart: their files, or digests of what a table holds; nothing of others."""
    images = examples.images
    if isinstance(images, list) and images and all(isinstance(image, dict) for image in images):
        return [hashlib.sha256(held_by(image)).hexdigest() for image in images]
    return file_names(examples, root) or []


def places_within(examples: Examples) -> list[str] | None:
    """Where a table holds each image, such as labels.parquet, row 3; None where none does."""
    images = examples.images
    if not len(images) or not isinstance(images[0], dict):
        return None
    names = [name_of(image) or "" for image in images]
    return names if all(names) else None


def file_names(examples: Examples, root: Path | None = None) -> list[str] | None:
    """The examples' files, relative to ``root`` where they are below it; None where images are no files."""
    images = examples.images
    if not isinstance(images, (list, tuple)) or not all(isinstance(image, (str, Path)) for image in images):
        return None
    if root is None:
        return [os.path.abspath(image).replace(os.sep, "/") for image in images]
    above = os.path.join(str(root), "")
    return [str(image).removeprefix(above).replace(os.sep, "/") for image in images]


def shared_file(some: Examples, others: Examples) -> str | None:
    """A file of both, under whatever names, if there is one."""

    def identity(path: str) -> Any:
        try:
            found = os.stat(path)
        except OSError:
            return path
        return (found.st_dev, found.st_ino) if found.st_ino else os.path.realpath(path)

    there = {identity(path) for path in file_names(some) or []}
    return next((path for path in file_names(others) or [] if identity(path) in there), None)
