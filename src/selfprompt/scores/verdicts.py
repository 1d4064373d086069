"""Whether what was trained is worth it: its answers beside those of something cheaper, on the same examples."""

from __future__ import annotations

from typing import Any, NotRequired

import numpy as np
from numpy.typing import NDArray
from typing_extensions import TypedDict

from selfprompt.scores.asked import WORDS, Metric
from selfprompt.scores.intervals import paired_difference
from selfprompt.scores.metrics import measured, paired_bootstrap, resampled

PROMPTS = "prompts"
"""What is held against rivals, if nothing else."""


class Verdict(TypedDict):
    """Prompts, or a probe that is kept in their place, against a rival: percentage points by which they are better,
    and the ends of Newcombe's paired 95 % interval (see `paired_difference`).

    Where runs are ranked by another metric than the accuracy, as with several labels an example, points are of that,
    and the interval is of examples drawn anew (see `paired_bootstrap`)."""

    rival: str
    rival_test_accuracy: NotRequired[float]
    rival_test_balanced_accuracy: NotRequired[float]
    rival_test_macro_f1: NotRequired[float]
    rival_test_map: NotRequired[float]
    difference: float
    interval: list[float]
    verdict: str


def verdict(
    right: NDArray[np.bool_], rivals: NDArray[np.bool_], rival: str, inputs: str, own: str = PROMPTS
) -> Verdict:
    """Which to take, if the examples bear out either.

    Args:
        right, rivals: (N,) whether each example is answered rightly, by the prompts and by the rival.
        rival: What it is called.
        inputs: What examples are called, in the singular.
        own: What is held against it, where that are no prompts.
    """
    difference, low, high = (100 * value for value in paired_difference(right, rivals))
    words = decided(low, high, rival, f"{len(right):,} {inputs}s", own)
    found: Verdict = {"rival": rival, "difference": difference, "interval": [low, high], "verdict": words}
    return {**found, "rival_test_accuracy": 100 * float(rivals.mean())}


def verdict_by(
    metric: Metric,
    probabilities: NDArray[np.floating],
    rivals: NDArray[np.floating],
    labels: NDArray[Any],
    rival: str,
    inputs: str,
    own: str = PROMPTS,
) -> Verdict:
    """`verdict`, by a metric of (N, C) probabilities of prompts and of the rival; labels are as of `measured`."""
    score, other = (float(measured(metric, given, labels)[0]) for given in (probabilities, rivals))
    low, high, _ = paired_bootstrap(
        np.concatenate(
            [
                measured(metric, probabilities, labels, weights) - measured(metric, rivals, labels, weights)
                for weights in resampled(len(labels))
            ]
        )
    )
    words = decided(low, high, rival, f"{len(labels):,} {inputs}s", own)
    found: Any = {"rival": rival, "difference": score - other, "interval": [low, high], "verdict": words}
    return found | {f"rival_test_{metric}": other}


def decided(low: float, high: float, rival: str, examples: str, own: str = PROMPTS) -> str:
    """Which to take, by an interval of how much better one's own are."""
    if low > 0 or high < 0:
        return f"keep the {own}" if low > 0 else f"take the {rival}"
    return f"no difference that these {examples} bear out"


def metric_of(found: Verdict) -> str | None:
    """Which metric a verdict is by, where that is not the accuracy."""
    return next((metric for metric in WORDS if f"rival_test_{metric}" in found), None)


def told(found: Verdict) -> str:
    """A verdict in a line."""
    (low, high), metric = found["interval"], metric_of(found)
    of = f" of {WORDS[metric]}" if metric else ""
    points = f"{found['difference']:+.1f} points{of} (95 % {low:+.1f} to {high:+.1f})"
    return f"against the {found['rival']} {points}: {found['verdict']}"
