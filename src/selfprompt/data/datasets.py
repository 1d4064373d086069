"""Labelled images in splits, wherever they come from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.model_selection import train_test_split

from selfprompt.data.images import ImageSource
from selfprompt.data.protocol import Protocol
from selfprompt.errors import UserError
from selfprompt.files import must_be_utf8


@dataclass(frozen=True)
class Examples:
    """Images and their labels, in one order.

    Args:
        images: N image sources (paths, or uint8 arrays of shape (H, W) or (H, W, 3)).
        labels: (N,) int64 array of class indices.
    """

    images: Sequence[ImageSource]
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: np.ndarray) -> Examples:
        """The examples at ``indices``, in that order."""
        return Examples(Picked(self.images, indices), self.labels[indices])

    def __add__(self, other: Examples) -> Examples:
        """These examples, then the others."""
        return Examples([*self.images, *other.images], np.concatenate([self.labels, other.labels]))


@dataclass(frozen=True)
class Picked(Sequence[ImageSource]):
    """Some images of a sequence, fetched when they are asked for."""

    images: Sequence[ImageSource]
    indices: np.ndarray

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, i: Any) -> Any:
        return self.images[int(self.indices[i])]


@dataclass(frozen=True)
class Dataset:
    """A named data set with the splits it came with; a missing split is None until `with_splits` makes it."""

    name: str
    class_names: tuple[str, ...]
    train: Examples
    val: Examples | None = None
    test: Examples | None = None
    licence: str = "unknown"

    def __post_init__(self) -> None:
        must_be_utf8("The data set", self.name)
        for name in self.class_names:
            must_be_utf8(f"The class folder of {self.name}", name)

    @property
    def num_classes(self) -> int:
        """The number of classes."""
        return len(self.class_names)


@dataclass(frozen=True)
class Splits:
    """The three splits that a run uses, and how they were made (kept beside the results)."""

    train: Examples
    val: Examples
    test: Examples
    record: dict[str, Any]


def with_splits(dataset: Dataset, protocol: Protocol) -> Splits:
    """Fill in the splits that the data set lacks: seeded, stratified by class, and recorded.

    The test split is cut first, then the validation split, both from the training images; then
    ``protocol.train_images`` labelled images are kept for training and validation together (VTAB-1K's way).

    Raises:
        UserError: A class has too few images to be in every split.
    """
    rest, seed = dataset.train, protocol.split_seed
    indices = np.arange(len(rest))
    record: dict[str, Any] = {"seed": seed, "made": []}

    def cut(pool: np.ndarray, size: float | int) -> tuple[np.ndarray, np.ndarray]:
        _refuse_rare_classes(dataset, rest.labels[pool])
        try:
            kept, held = train_test_split(pool, test_size=size, random_state=seed, stratify=rest.labels[pool])
        except ValueError as error:
            raise UserError(f"{dataset.name} cannot be split by class: {error}") from None
        return np.sort(kept), np.sort(held)

    test = dataset.test
    if test is None:
        indices, held = cut(indices, protocol.test_fraction)
        test, record["test"] = rest.take(held), held.tolist()
        record["made"].append("test")
    if protocol.train_images is not None and protocol.train_images < len(indices):
        _, indices = cut(indices, protocol.train_images)
    val = dataset.val
    if val is None:
        indices, held = cut(indices, protocol.val_fraction)
        val, record["val"] = rest.take(held), held.tolist()
        record["made"].append("val")
    record["train"] = indices.tolist()
    return Splits(rest.take(indices), val, test, record)


def as_examples(pairs: Examples | Iterable[tuple[ImageSource, int]]) -> Examples:
    """`Examples` as they are; pairs of an image and a class index gathered into them."""
    if isinstance(pairs, Examples):
        return pairs
    known = getattr(pairs, "samples", None)  # torchvision's ImageFolder: paths, not decoded images
    images, labels = zip(*(known if known is not None else pairs))
    return Examples(list(images), np.asarray(labels, dtype=np.int64))


def _refuse_rare_classes(dataset: Dataset, labels: np.ndarray) -> None:
    counts = Counter(labels.tolist())
    for label, name in enumerate(dataset.class_names):
        if counts[label] < 2:
            raise UserError(
                f"Class {name!r} of {dataset.name} has {counts[label]} image(s), too few for training, "
                f"validation and test: add images, or lay out train/, val/ and test/ folders yourself."
            )
