"""What epochs are selected and methods ranked by, and how sure a difference of two is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from selfprompt.scores.asked import Metric

DRAWS, AT_ONCE = 1000, 50
"""Of `resampled`, and how many of them at a time."""

Floats = NDArray[np.float64]


def measured(
    metric: Metric,
    probabilities: NDArray[np.floating],
    labels: NDArray[Any],
    weights: NDArray[np.integer] | None = None,
) -> Floats:
    """A metric in percent, of examples as they are or as often as weights say.

    Args:
        metric: Which.
        probabilities: (N, C).
        labels: (N,); for ``map`` booleans (N, C).
        weights: (D, N), how often each of D samples has each example.

    Returns:
        (D,), or (1,) without weights. Classes without examples have no part in a mean.
    """
    weights = np.ones((1, len(labels)), dtype=np.int64) if weights is None else weights
    if metric == "map":
        with np.errstate(invalid="ignore"):
            found = average_precisions(probabilities, labels, weights)
        return 100 * np.nanmean(found, axis=1)
    classes, predicted = np.arange(probabilities.shape[1]), probabilities.argmax(axis=1)
    true, said = labels[:, None] == classes, predicted[:, None] == classes
    hits, support, given = (weights @ part.astype(np.float64) for part in (true & said, true, said))
    if metric == "top1":
        return 100 * hits.sum(axis=1) / weights.sum(axis=1)
    parts, whole = (hits, support) if metric == "balanced_accuracy" else (2 * hits, support + given)
    return 100 * (parts / np.maximum(whole, 1)).sum(axis=1) / (whole > 0).sum(axis=1)


def average_precisions(
    probabilities: NDArray[np.floating], labels: NDArray[np.bool_], weights: NDArray[np.integer]
) -> Floats:
    """(D, C) areas under precision over recall, as steps: ``sum_k (R_k - R_k-1) P_k`` over the distinct
    probabilities of a class; NaN for a class without examples. Arguments as of `measured`."""
    found = np.empty((len(weights), labels.shape[1]))
    for c in range(labels.shape[1]):
        order = np.argsort(-probabilities[:, c], kind="stable")
        ordered = probabilities[order, c]
        last = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))  # those of one probability count together
        own = weights[:, order]
        hits, kept = (own * labels[order, c]).cumsum(axis=1)[:, last], own.cumsum(axis=1)[:, last]
        gained = np.diff(hits, axis=1, prepend=0)
        with np.errstate(invalid="ignore"):
            found[:, c] = (gained * (hits / np.maximum(kept, 1))).sum(axis=1) / hits[:, -1]
    return found


def resampled(count: int) -> Iterator[NDArray[np.int64]]:
    """Weights as of `measured` of `DRAWS` samples with replacement of so many examples, from a fixed seed."""
    rng = np.random.default_rng(0)
    for _ in range(0, DRAWS, AT_ONCE):
        yield rng.multinomial(count, np.full(count, 1 / count), size=AT_ONCE)


def paired_bootstrap(differences: NDArray[np.floating]) -> tuple[float, float, float]:
    """The ends of the 95 % interval of a difference, and its two-sided p-value, by (D,) of resampled examples."""
    low, high = np.quantile(differences, [0.025, 0.975])
    tail = min(int((differences <= 0).sum()), int((differences >= 0).sum()))
    return float(low), float(high), min(1.0, 2 * (1 + tail) / (1 + len(differences)))
