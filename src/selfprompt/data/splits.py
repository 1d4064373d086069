"""Cuts of labelled images, by their labels alone."""

from __future__ import annotations

import math

import numpy as np

from selfprompt.data.protocol import Classes


class TooFew(ValueError):
    """There are too few images to cut some off and train on one of each class."""


def cut(
    labels: np.ndarray, pool: np.ndarray, size: float | int, seed: int, *, trained: int = 0
) -> tuple[np.ndarray, np.ndarray, bool]:
    """Cut a pool in two: stratified by class where that can be done, else as near to it as can be.

    Args:
        labels: Of all images.
        pool: Indices of some.
        size: How many are cut off, or which share.
        seed: Of the draw.
        trained: The part that is to train on, which has one image of each class or more: 0 keeps, 1 is cut off.

    Returns:
        What is kept and what is cut off, both in order, and whether they are stratified.

    Raises:
        TooFew: Not even that can be done.
    """
    from sklearn.model_selection import train_test_split  # it takes a second

    try:
        parts = train_test_split(pool, test_size=size, random_state=seed, stratify=labels[pool])
        if len(np.unique(labels[parts[trained]])) == len(np.unique(labels[pool])):
            return np.sort(parts[0]), np.sort(parts[1]), True
    except ValueError:  # a class has one image, or there are more classes than images to cut
        pass
    count = size if isinstance(size, int) else math.ceil(size * len(pool))
    spare = to_spare(labels[pool], len(pool) - count if trained else count, seed)
    left, taken = np.delete(pool, spare), pool[spare]
    return (taken, left, False) if trained else (left, taken, False)


def shuffled(labels: np.ndarray, pool: np.ndarray, seed: int, num_classes: int) -> list[np.ndarray]:
    """A pool class by class, each in an order of its own, which no other class changes: few of it are among more."""
    return [np.random.default_rng((seed, c)).permutation(pool[labels[pool] == c]) for c in range(num_classes)]


def half(num_classes: int, which: Classes) -> range:
    """The classes of a half: the first ceil(C / 2), or the rest."""
    middle = math.ceil(num_classes / 2)
    return {"all": range(num_classes), "base": range(middle), "new": range(middle, num_classes)}[which]


def to_spare(labels: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Positions of ``count`` images, drawn as near to their classes' shares as can be; one of each class is left.

    Raises:
        TooFew: Fewer can be spared.
    """
    rng, turn = np.random.default_rng(seed), np.full(len(labels), np.inf)
    for label in np.unique(labels):
        own = rng.permutation(np.flatnonzero(labels == label))
        turn[own[1:]] = (rng.random() + np.arange(len(own) - 1)) / len(own)
    if count > np.isfinite(turn).sum():
        raise TooFew
    return np.sort(np.argsort(turn, kind="stable")[:count])
