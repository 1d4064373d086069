"""Whether prompts are worth it: their answers beside those of something cheaper, on the same examples."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from typing_extensions import NotRequired, TypedDict

from selfprompt.scores.intervals import paired_difference
from selfprompt.scores.metrics import measured, paired_bootstrap, resampled

KEEP = "keep the prompts"


class Verdict(TypedDict):
    """Prompts against a rival: percentage points by which they are better, and the ends of Newcombe's paired 95 %
    interval (see `paired_difference`).

    With several labels an example, points are of the mean average precision, and the interval is of examples drawn
    anew (see `paired_bootstrap`)."""

    rival: str
    rival_test_accuracy: NotRequired[float]
    rival_test_map: NotRequired[float]
    difference: float
    interval: list[float]
    verdict: str


def verdict(right: NDArray[np.bool_], rivals: NDArray[np.bool_], rival: str, inputs: str) -> Verdict:
    """Which to take, if the examples bear out either.

    Args:
        right, rivals: (N,) whether each example is answered rightly, by prompts and by the rival.
        rival: What it is called.
        inputs: What examples are called, in the singular.
    """
    difference, low, high = (100 * value for value in paired_difference(right, rivals))
    words = decided(low, high, rival, f"{len(right):,} {inputs}s")
    found: Verdict = {"rival": rival, "difference": difference, "interval": [low, high], "verdict": words}
    return {**found, "rival_test_accuracy": 100 * float(rivals.mean())}


def label_verdict(
    probabilities: NDArray[np.floating],
    rivals: NDArray[np.floating],
    labels: NDArray[np.bool_],
    rival: str,
    inputs: str,
) -> Verdict:
    """`verdict`, by the mean average precision of (N, C) probabilities of prompts and of the rival."""
    own, other = (float(measured("map", given, labels)[0]) for given in (probabilities, rivals))
    low, high, _ = paired_bootstrap(
        np.concatenate(
            [
                measured("map", probabilities, labels, weights) - measured("map", rivals, labels, weights)
                for weights in resampled(len(labels))
            ]
        )
    )
    words = decided(low, high, rival, f"{len(labels):,} {inputs}s")
    found: Verdict = {"rival": rival, "difference": own - other, "interval": [low, high], "verdict": words}
    return {**found, "rival_test_map": other}


def decided(low: float, high: float, rival: str, examples: str) -> str:
    """Which to take, by an interval of how much better prompts are."""
    if low > 0 or high < 0:
        return KEEP if low > 0 else f"take the {rival}"
    return f"no difference that these {examples} bear out"


def told(found: Verdict) -> str:
    """A verdict in a line."""
    low, high = found["interval"]
    points = f"{found['difference']:+.1f} points (95 % {low:+.1f} to {high:+.1f})"
    return f"against the {found['rival']} {points}: {found['verdict']}"
