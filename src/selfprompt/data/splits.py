"""Cuts of labelled images, by their labels and groups alone."""

from __future__ import annotations

import math
import warnings
from fractions import Fraction

import numpy as np

from selfprompt.data.protocol import Classes


class TooFew(ValueError):
    """There are too few images to cut some off and train on one of each class."""


def cut(
    labels: np.ndarray,
    pool: np.ndarray,
    size: float | int,
    seed: int,
    *,
    trained: int = 0,
    groups: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray, bool]:
    """Cut a pool in two: stratified by class where that can be done, else as near to it as can be.

    Args:
        labels: Of all images; booleans (N, C) where one may have several.
        pool: Indices of some.
        size: How many are cut off, or which share.
        seed: Of the draw.
        trained: The part that is to train on, which has one image of each class or more: 0 keeps, 1 is cut off.
        groups: What all images belong together by, which is then never cut; None without groups.

    Returns:
        What is kept and what is cut off, both in order, and whether they are stratified.

    Raises:
        TooFew: Not even that can be done.
    """
    if labels.ndim == 2:
        return cut_several(labels, groups, pool, size, seed)
    if groups is not None:
        return cut_between(labels, groups, pool, size, seed)
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


def cut_between(
    labels: np.ndarray, groups: np.ndarray, pool: np.ndarray, share: float, seed: int
) -> tuple[np.ndarray, np.ndarray, bool]:
    """`cut`, of whole groups: as many of scikit-learn's stratified folds of groups as come nearest to the share.

    Where that would take a class all of its groups, those stay that are the only ones of a class.

    Raises:
        TooFew: There are too few groups to leave each class one to train on.
    """
    try:
        return by_folds(labels, groups, pool, share, seed)
    except TooFew:
        only = [
            own[0]
            for name in np.unique(labels[pool])
            if len(own := np.unique(groups[pool[labels[pool] == name]])) == 1
        ]
        stay = np.isin(groups[pool], only)
        if not only or len(np.unique(groups[pool[~stay]])) < 2:
            raise
        rest = min(share * len(pool) / np.count_nonzero(~stay), 0.5)
        left, off, _ = by_folds(labels, groups, pool[~stay], rest, seed)
        return np.sort(np.concatenate([left, pool[stay]])), off, False


def by_folds(
    labels: np.ndarray, groups: np.ndarray, pool: np.ndarray, share: float, seed: int
) -> tuple[np.ndarray, np.ndarray, bool]:
    """`cut_between`, of groups none of which has to stay."""
    from sklearn.model_selection import StratifiedGroupKFold

    own = labels[pool]
    most = max(2, min(20, len(np.unique(groups[pool]))))
    nearest = min(max(Fraction(share).limit_denominator(most), Fraction(1, most)), Fraction(most - 1, most))
    taken, folds = nearest.numerator, nearest.denominator
    with warnings.catch_warnings():  # that a class has fewer images than there are folds
        warnings.simplefilter("ignore", UserWarning)
        try:
            splitter = StratifiedGroupKFold(max(2, folds), shuffle=True, random_state=seed)
            parts = [part for _, part in splitter.split(pool, own, groups[pool])]
        except ValueError:  # one group, or no class with so many images
            raise TooFew from None
    for first in range(len(parts)):
        off = np.sort(np.concatenate([parts[(first + i) % len(parts)] for i in range(min(taken, len(parts) - 1))]))
        left = np.setdiff1d(np.arange(len(pool)), off)
        if len(off) and len(np.unique(own[left])) == len(np.unique(own)):
            return pool[left], pool[off], len(np.unique(own[off])) == len(np.unique(own))
    raise TooFew


def cut_several(
    labels: np.ndarray, groups: np.ndarray | None, pool: np.ndarray, share: float, seed: int
) -> tuple[np.ndarray, np.ndarray, bool]:
    """`cut`, of images that may have several labels: iterative stratification (Sechidis et al., "On the
    Stratification of Multi-label Data", ECML PKDD 2011), of whole groups where there are any.

    The class that the fewest images are left of comes first; each of its images goes where most of the class are
    wanted, else where most images are. No label counts as a class, too. Then what is kept gets an image of each class
    that it lacks.

    Raises:
        TooFew: Nothing is left to cut off.
    """
    units = np.unique(pool if groups is None else groups[pool], return_inverse=True)[1]
    own = np.column_stack([labels[pool], ~labels[pool].any(axis=1), np.ones(len(pool), dtype=bool)])
    held = np.zeros((units.max() + 1, own.shape[1]))  # images of each class, of none, and all
    np.add.at(held, units, own)
    shares = np.array([1 - share, share])
    wanted, part = shares[:, None] * held.sum(axis=0), np.full(len(held), -1)
    order = np.random.default_rng(seed).permutation(len(held))
    while (part < 0).any():
        left = held[part < 0, :-1].sum(axis=0)
        rarest = int(np.where(left > 0, left, np.inf).argmin())
        for unit in order[(part[order] < 0) & (held[order, rarest] > 0)]:
            part[unit] = max((0, 1), key=lambda side: (wanted[side, rarest], wanted[side, -1]))
            wanted[part[unit]] -= held[unit]
    for lacking in np.flatnonzero(held.any(axis=0) & ~held[part == 0].any(axis=0)):
        part[order[held[order, lacking] > 0][0]] = 0
    if not (part == 1).any():
        raise TooFew
    sides = [pool[part[units] == side] for side in (0, 1)]
    return sides[0], sides[1], all(labels[side].any(axis=0).all() for side in sides)


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
