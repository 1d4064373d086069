"""The precision that a threshold is asked for by, as flags and arguments write it."""

from __future__ import annotations

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
