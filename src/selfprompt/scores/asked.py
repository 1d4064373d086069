"""What of scores flags and arguments ask for: a metric, and the precision of a threshold."""

from __future__ import annotations

from typing import Literal

Metric = Literal["top1", "balanced_accuracy", "macro_f1", "map"]
"""What epochs are selected and methods ranked by."""
WORDS: dict[str, str] = {
    "top1": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro-F1",
    "map": "mean average precision",
}

AUTO, USUAL = "auto", 0.95


def precision_in(asked: str) -> float:
    """That of ``auto`` or ``auto:PRECISION``, between 0 and 1.

    Raises:
        ValueError: It is neither.
    """
    word, sign, wanted = asked.partition(":")
    precision = float(wanted) if sign else USUAL
    if word != AUTO or not 0 < precision < 1:
        raise ValueError(asked)
    return precision
