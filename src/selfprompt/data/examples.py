"""Images or texts in one order, with their labels and groups where these are known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

import numpy as np

from selfprompt.data.arrays import as_it_is_now
from selfprompt.errors import UserError


@dataclass(frozen=True, repr=False)
class Examples:
    """Images or texts in an order, and what is known of each.

    Args:
        images: N image sources in an order (paths, PIL images, or uint8 arrays of shape (H, W) or (H, W, 3)); or N
            texts, a tuple of one string or of two each.
        labels: N class indices, kept as an (N,) int64 array; or booleans (N, C), whether each image has each of C
            classes; None where they are not known.
        groups: N names or numbers of what images belong together by (a patient, a place); None without groups.

    Raises:
        UserError: One of them is no sequence, there are more or fewer labels or groups than images, or a label is no
            whole number.
    """

    images: Sequence[Any]
    labels: np.ndarray | None = None
    groups: np.ndarray | None = None

    def __post_init__(self) -> None:
        for what in ("images", "labels", "groups"):
            if what == "images" or getattr(self, what) is not None:
                must_be_ordered(what, getattr(self, what))
        if hasattr(self.images, "iloc"):  # a column of pandas, which finds by its index, not by place
            object.__setattr__(self, "images", list(self.images))
        elif not hasattr(self.images, "__len__"):
            object.__setattr__(self, "images", [as_it_is_now(image) for image in self.images])
        if self.labels is not None:
            object.__setattr__(self, "labels", class_indices(self.labels))
        if self.groups is not None:
            object.__setattr__(self, "groups", np.asarray(self.groups))
        for what, values in (("label", self.labels), ("group", self.groups)):
            several = what == "label" and self.multi_label
            if values is not None and values.shape[: values.ndim - several] != (len(self.images),):
                count = len(values) if values.ndim == 1 + several else f"{values.shape}"
                raise UserError(
                    f"There are {len(self.images)} images and {count} {what}s: give one {what} for each image."
                )

    def __len__(self) -> int:
        return len(self.images)

    def __repr__(self) -> str:
        labelled = "no labels" if self.labels is None else f"{len(classes_in(self.labels)):,} classes"
        return f"Examples({len(self):,}, {labelled})"

    @property
    def multi_label(self) -> bool:
        """Whether an image may have several labels, or none."""
        return self.labels is not None and self.labels.ndim == 2

    @property
    def known_labels(self) -> np.ndarray:
        """The labels, where there must be some.

        Raises:
            UserError: There are none.
        """
        if self.labels is None:
            raise UserError("These images have no labels, which are needed here: give one class index for each.")
        return self.labels

    def take(self, indices: np.ndarray) -> Examples:
        """The examples at ``indices``, in that order."""
        labels, groups = (None if known is None else known[indices] for known in (self.labels, self.groups))
        return Examples(Picked(self.images, indices), labels, groups)

    def __add__(self, other: Examples) -> Examples:
        """These examples, then the others.

        Raises:
            UserError: One of both has labels or groups, and the other has not.
        """
        labels = joined("labels", self.labels, other.labels)
        groups = joined("groups", self.groups, other.groups)
        return Examples([*self.images, *other.images], labels, groups)


@dataclass(frozen=True)
class Picked(Sequence[Any]):
    """Some images or texts of a sequence, fetched when they are asked for."""

    images: Sequence[Any]
    indices: np.ndarray

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, i: Any) -> Any:
        return self.images[int(self.indices[i])]


class Drawn(Sequence[Any]):
    """Images that are drawn when they are first asked for.

    Args:
        draw: An image by its place.
        count: How many there are.
    """

    def __init__(self, draw: Callable[[int], Any], count: int) -> None:
        self.draw, self.places = draw, range(count)
        self.kept: dict[int, Any] = {}

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, i: Any) -> Any:
        if isinstance(i, slice):
            return [self[place] for place in self.places[i]]
        place = self.places[i]
        if place not in self.kept:
            self.kept[place] = self.draw(place)
        return self.kept[place]


def joined(what: str, some: np.ndarray | None, others: np.ndarray | None) -> np.ndarray | None:
    """What is known of some examples, then of others.

    Raises:
        UserError: Of one of both nothing is.
    """
    if some is None or others is None:
        if some is not others:
            raise UserError(f"Some of the images have {what} and others have none: give them to all, or to none.")
        return None
    return np.concatenate([some, others])


def must_be_ordered(what: str, given: Any) -> None:
    """Refuse what has no order, or is one thing.

    Raises:
        UserError: It is so.
    """
    many = hasattr(given, "__iter__") or (hasattr(given, "__getitem__") and hasattr(given, "__len__"))
    if not many or isinstance(given, (str, bytes, bytearray, Mapping, AbstractSet)):
        raise UserError(f"The {what} are given as {type(given).__name__}: give a list of them, in one order.")


def classes_in(labels: np.ndarray) -> np.ndarray:
    """The classes, sorted, that (N,) labels name, or that (N, C) booleans say some example has."""
    return np.flatnonzero(labels.any(axis=0)) if labels.ndim == 2 else np.unique(labels)


def class_counts(labels: np.ndarray, classes: int) -> np.ndarray:
    """How many examples have each of C classes, (C,), by labels as of `classes_in`."""
    return labels.sum(axis=0) if labels.ndim == 2 else np.bincount(labels, minlength=classes)


def class_indices(labels: Any) -> np.ndarray:
    """Labels as an (N,) int64 array: integers, booleans and whole floats, of Python, NumPy or PyTorch.

    Booleans (N, C) stay as they are: whether each example has each of C classes.

    Raises:
        UserError: A label is a name, a fraction, missing, or more than one number.
    """
    if hasattr(labels, "detach"):
        labels = labels.detach().cpu().numpy()
    if not isinstance(labels, np.ndarray) or (labels.dtype == object and labels.ndim == 1):
        labels = [number(label) for label in labels]
        if odd := [label for label in labels if not isinstance(label, (int, float))]:
            raise _no_index(odd[0])
    found = np.asarray(labels)
    found = found[:, 0] if found.ndim == 2 and found.shape[1] == 1 else found
    if found.ndim == 2 and found.dtype == bool:
        return found
    if found.ndim != 1:
        either = "give labels.argmax(axis=1), or booleans where an image may have several"
        fix = either if found.ndim == 2 else "give one for each"
        raise UserError(f"Labels of shape {found.shape} are not one class index an image: {fix}.")
    if len(found) and found.dtype.kind not in "biuf":
        raise _no_index(found[0])
    if found.dtype.kind in "uf" and not (whole := (found == np.floor(found)) & (abs(found) < 2**53)).all():
        raise _no_index(found[~whole][0])
    return found.astype(np.int64)


def number(label: Any) -> Any:
    """The number in a NumPy scalar, or in an array or tensor of one element."""
    try:
        return label.item()
    except (AttributeError, ValueError, RuntimeError):  # has none, or several
        return label


def _no_index(label: Any) -> UserError:
    return UserError(
        f"The label {str(label)[:40]!r} is no class index: give whole numbers from 0, such as names.index(name)."
    )


def check_labels(examples: Examples, num_classes: int, what: str) -> None:
    """Refuse labels that are not among the classes.

    Args:
        examples: Some images of ``what``.
        num_classes: Labels are 0 to ``num_classes`` - 1.
        what: Whose images, in a sentence.

    Raises:
        UserError: There are none, or one is negative, or ``num_classes`` or more.
    """
    labels = examples.known_labels
    if examples.multi_label:
        if labels.shape[1] != num_classes:
            raise UserError(f"The {what} images have labels of {labels.shape[1]} classes, not of {num_classes}.")
        return
    odd = Counter(labels[(labels < 0) | (labels >= num_classes)].tolist())
    if odd:
        label, count = odd.most_common(1)[0]
        if label < 0:
            fix = "leave images without a label out"
        elif label == num_classes and labels.min() > 0:
            fix = "they seem to start at 1, so subtract 1"
        else:
            fix = "mend the labels, or num_classes"
        raise UserError(
            f"{count} of the {what} images have the label {label}, but labels of {num_classes} classes are "
            f"0 to {num_classes - 1}: {fix}."
        )
