"""Whether probabilities are what they say: temperature, expected calibration error, and thresholds.

Temperature and error are those of Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, arXiv
1706.04599.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict

from selfprompt.errors import UserError
from selfprompt.scores.asked import precision_in
from selfprompt.scores.intervals import Z, wilson

BINS = 15
LEAST = 50
"""Validation examples below which no temperature is fitted."""
PRECISIONS = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 0.99)
"""Those whose thresholds are kept; adapters of before there were so many have the last three."""
RANGE = (1 / 20, 20)
"""Of temperatures."""
SMALLEST = 1e-38
"""Probabilities below it count as it."""

Floats = NDArray[np.floating]
Labels = NDArray[np.int64]


class Threshold(BaseModel):
    """What probability to ask for, so that answers are right as often as wanted: see `threshold`.

    Args:
        precision: The share that was wanted, between 0 and 1.
        threshold: The least probability that is kept.
        coverage: The share of the validation examples that it keeps.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    precision: float = Field(gt=0, lt=1)
    threshold: float = Field(ge=0, le=1)
    coverage: float = Field(ge=0, le=1)


class Calibration(BaseModel):
    """What validation says of a model's probabilities.

    Args:
        temperature: What its scores are divided by before the softmax; 1 where no validation example is answered
            wrongly, which says nothing of it.
        examples: Validation examples that say so.
        thresholds: For each of `PRECISIONS` that can be had.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    temperature: float = Field(default=1.0, ge=RANGE[0], le=RANGE[1])
    examples: int = Field(ge=1)
    thresholds: list[Threshold] = []

    def at(self, precision: float) -> Threshold | None:
        """The threshold of the least precision among those kept that is no less than this; None if there is none."""
        return min((t for t in self.thresholds if t.precision >= precision), key=lambda t: t.precision, default=None)


class Bin(TypedDict):
    """Examples whose probabilities are alike: their mean probability and accuracy, in percent."""

    count: int
    probability: float
    accuracy: float


def calibration(probabilities: Floats, labels: Labels) -> Calibration | str:
    """Temperature and thresholds by validation examples, or why there are none.

    Args:
        probabilities: (N, C).
        labels: (N,).
    """
    if len(labels) < LEAST:
        return (
            f"{len(labels)} validation examples are too few, for predict --threshold auto, too: it takes {LEAST} (a "
            f"larger --val-fraction), or give predict a number, such as --threshold 0.9"
        )
    right = probabilities.argmax(axis=1) == labels
    found = 1.0 if right.all() else temperature(probabilities, labels)
    sure = tempered(probabilities, found).max(axis=1)
    thresholds = [made for p in PRECISIONS if (made := threshold(sure, right, p)) is not None]
    return Calibration(temperature=found, examples=len(labels), thresholds=thresholds)


def tempered(probabilities: Floats, temperature: float) -> NDArray[np.float64]:
    """(N, C) probabilities as if scores had been divided by a temperature before the softmax."""
    from scipy.special import log_softmax

    return np.exp(log_softmax(logarithms(probabilities) / temperature, axis=1))


def logarithms(probabilities: Floats) -> NDArray[np.float64]:
    """Of probabilities, none of which is 0."""
    return np.log(np.maximum(probabilities.astype(np.float64), SMALLEST))


def temperature(probabilities: Floats, labels: Labels) -> float:
    """The one that gives labels the greatest likelihood, within `RANGE`."""
    from scipy.optimize import minimize_scalar
    from scipy.special import log_softmax

    scores, rows = logarithms(probabilities), np.arange(len(labels))

    def loss(logarithm: float) -> float:
        return -log_softmax(scores / np.exp(logarithm), axis=1)[rows, labels].mean()

    found = minimize_scalar(loss, bounds=np.log(RANGE), method="bounded")
    return float(np.clip(np.exp(found.x), *RANGE))


def reliability(probabilities: Floats, labels: Labels) -> tuple[float, list[Bin]]:
    """Expected calibration error: over `BINS` bins of equal width of the likeliest class's probability, the mean
    difference between a bin's mean probability and its accuracy, weighted by its examples.

    A probability that is the end of a bin belongs to the bin below.

    Args:
        probabilities: (N, C).
        labels: (N,).

    Returns:
        The error in percent, and the bins that have examples.
    """
    sure, right = probabilities.max(axis=1).astype(np.float64), probabilities.argmax(axis=1) == labels
    places = np.clip(np.ceil(sure * BINS) - 1, 0, BINS - 1)
    bins: list[Bin] = []
    for place in np.unique(places):
        own = places == place
        means = 100 * float(sure[own].mean()), 100 * float(right[own].mean())
        bins.append({"count": int(own.sum()), "probability": means[0], "accuracy": means[1]})
    error = sum(b["count"] * abs(b["probability"] - b["accuracy"]) for b in bins) / len(labels)
    return error, bins


def threshold(sure: Floats, right: NDArray[np.bool_], precision: float) -> Threshold | None:
    """The least probability at which the answers that are kept are right as often as wanted.

    As often as wanted is the lower end of Wilson's 95 % interval of the precision among the validation examples kept:
    a few right answers do not do (0.9 takes 35 of them without an error, 0.95 takes 73, 0.99 takes 381). For data
    like the validation examples that holds with 97.5 % confidence at any one threshold fixed before; that the lowest
    of many is taken makes it less, and for data of another kind nothing is promised.

    Args:
        sure: (N,) probability of each answer.
        right: (N,) whether it is right.
        precision: What is wanted, between 0 and 1.

    Returns:
        None where no threshold does.
    """
    order = np.argsort(-sure, kind="stable")
    ordered = sure[order].astype(np.float64)
    counts = np.arange(1, len(order) + 1)
    enough = wilson(np.cumsum(right[order]), counts)[0] >= precision
    enough &= np.append(ordered[1:] < ordered[:-1], True)  # those of one probability are kept together
    if not enough.any():
        return None
    last = int(np.flatnonzero(enough)[-1])
    least = np.floor(1e6 * ordered[last]) / 1e6  # float32 says the same probability a little below
    return Threshold(precision=precision, threshold=float(least), coverage=(last + 1) / len(order))


def automatic(known: Calibration | None, asked: str, examples: int | None = None) -> float:
    """The threshold of ``auto`` or ``auto:PRECISION``, by what validation says: see `Calibration.at`.

    Args:
        known: What an adapter keeps of it.
        asked: Which precision is wanted.
        examples: How many validation examples there were, where that is known without ``known``.

    Raises:
        UserError: It is neither, or validation says none.
    """
    try:
        precision = precision_in(asked)
    except ValueError:
        give = "give a probability, or auto:PRECISION, such as auto:0.95"
        raise UserError(f"The threshold is {asked!r:.40}: {give}.") from None
    found = None if known is None else known.at(precision)
    if found is None:
        count, takes = examples if known is None else known.examples, takes_right(precision)
        why = f"it takes {takes} that are right, and " + (
            "the adapter keeps none"
            if count is None
            else f"there are {count}" + " with too many wrong" * (count >= takes)
        )
        lower = max((t.precision for t in known.thresholds), default=None) if known else None
        fixes = ["give a number, such as 0.9"] + ([] if lower is None else [f"auto:{lower:g}"])
        if count is None or count < takes:
            fixes.append("train with more validation examples (a larger --val-fraction)")
        fix = ", or ".join(fixes)
        raise UserError(f"Validation examples bear out no threshold for a precision of {precision:g} ({why}): {fix}.")
    return found.threshold


def takes_right(precision: float) -> int:
    """How many validation examples a threshold takes, where all of them are right: see `threshold`."""
    return max(LEAST, math.ceil(Z**2 * precision / (1 - precision)))
