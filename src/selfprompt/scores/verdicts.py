"""Whether prompts are worth it: their answers beside those of something cheaper, on the same examples."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from typing_extensions import TypedDict

from selfprompt.scores.intervals import paired_difference

KEEP = "keep the prompts"


class Verdict(TypedDict):
    """Prompts against a rival: percentage points by which they are better, and the ends of Newcombe's paired 95 %
    interval (see `paired_difference`)."""

    rival: str
    rival_test_accuracy: float
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
    words = f"no difference that these {len(right):,} {inputs}s bear out"
    if low > 0 or high < 0:
        words = KEEP if low > 0 else f"take the {rival}"
    return {
        "rival": rival,
        "rival_test_accuracy": 100 * float(rivals.mean()),
        "difference": difference,
        "interval": [low, high],
        "verdict": words,
    }


def told(found: Verdict) -> str:
    """A verdict in a line."""
    low, high = found["interval"]
    points = f"{found['difference']:+.1f} points (95 % {low:+.1f} to {high:+.1f})"
    return f"against the {found['rival']} {points}: {found['verdict']}"
