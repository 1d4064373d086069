"""Intervals of shares, and whether two differ on the same examples."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Z = 1.959963984540054
"""Of a two-sided interval of 95 %."""
DRAWS = 100_000
"""Of `same`."""

Floats = NDArray[np.float64]


def wilson(right: ArrayLike, count: ArrayLike) -> tuple[Floats, Floats]:
    """The ends of the 95 % interval of a share (Wilson, JASA 22, 1927), between 0 and 1.

    Args:
        right, count: How many of how many; numbers, or arrays of one shape.
    """
    n = np.asarray(count, dtype=np.float64)
    share = np.asarray(right) / n
    centre = (share + Z**2 / (2 * n)) / (1 + Z**2 / n)
    half = Z / (1 + Z**2 / n) * np.sqrt(share * (1 - share) / n + Z**2 / (4 * n**2))
    low, high = np.where(share == 0, 0, centre - half), np.where(share == 1, 1, centre + half)
    return np.maximum(low, 0), np.minimum(high, 1)


def paired_difference(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> tuple[float, float, float]:
    """A difference of two shares on the same N examples, and the ends of its 95 % interval.

    The square-and-add interval of Newcombe (Statistics in Medicine 17:2635, 1998, method 10): Wilson's intervals of
    both shares, put together with the correlation of the two, which is made smaller for continuity.

    Args:
        one, other: (N,) whether each example is answered rightly.

    Returns:
        The share of ``one`` less that of ``other``, between -1 and 1, and the interval's lower and upper end.
    """
    n = len(one)
    both, first, second = (int(x.sum()) for x in (one & other, one & ~other, other & ~one))
    neither = n - both - first - second
    shares = [(both + first) / n, (both + second) / n]
    (low, other_low), (high, other_high) = wilson(np.array([both + first, both + second]), np.array([n, n]))
    margins = (both + first) * (second + neither) * (both + second) * (first + neither)
    product = both * neither - first * second
    phi = (max(product - n / 2, 0) if product > 0 else product) / math.sqrt(margins) if margins else 0.0

    def reach(own: float, others: float) -> float:
        return math.sqrt(max(0.0, own**2 - 2 * phi * own * others + others**2))

    difference = (first - second) / n
    below = reach(shares[0] - low, other_high - shares[1])
    above = reach(high - shares[0], shares[1] - other_low)
    return difference, difference - below, difference + above


def same(differences: NDArray[Any], draws: int = DRAWS) -> float:
    """The two-sided p-value of whole-number differences of N examples, were the sign of each a coin's toss.

    With differences -1, 0 and 1 it is McNemar's exact test but for the draws, of which there are ``draws`` from a
    fixed seed; it is never 0. Differences of several runs on one example are added up before: examples are
    independent, runs on one of them are not.

    Args:
        differences: (N,) integers.
    """
    sizes, counts = np.unique(np.abs(differences[differences != 0]), return_counts=True)
    rng, total = np.random.default_rng(0), np.zeros(draws, dtype=np.int64)
    for size, count in zip(sizes, counts):
        total += size * (2 * rng.binomial(count, 0.5, draws) - count)
    return (1 + int((np.abs(total) >= abs(int(differences.sum()))).sum())) / (1 + draws)
