"""How good answers are where an example may have several labels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from typing_extensions import TypedDict

from selfprompt.scores.metrics import average_precisions

USUAL = 0.5
"""The threshold where validation says none."""
SEPARATOR = "|"
"""Between several labels in a cell."""


class OfLabel(TypedDict):
    """One class, in percent; ``threshold`` is the least probability with which it is given, ``support`` counts its
    examples, without which there is no ``average_precision``."""

    name: str
    average_precision: float | None
    precision: float
    recall: float
    f1: float
    threshold: float
    support: int


class LabelSummary(TypedDict):
    """In percent: ``map`` is the mean average precision of the classes that have examples, ``macro_f1`` the mean F1
    of all classes, and ``micro_f1`` that of all pairs of example and class together; both at the thresholds."""

    map: float
    macro_f1: float
    micro_f1: float


class LabelScores(LabelSummary):
    """Those of each class, too."""

    per_class: list[OfLabel]


def label_scores(
    probabilities: NDArray[np.floating],
    labels: NDArray[np.bool_],
    names: Sequence[str],
    thresholds: Sequence[float] | None,
) -> LabelScores:
    """Scores of (N, C) probabilities.

    Args:
        probabilities: Of each class by itself.
        labels: (N, C).
        names: Of the C classes.
        thresholds: One a class; `USUAL` for all where none were chosen.
    """
    precisions = average_precisions(probabilities, labels, np.ones((1, len(labels)), dtype=np.int64))[0]
    bounds = bounds_of(thresholds, len(names))
    given = above(probabilities, thresholds)
    hits, said, support = (part.sum(axis=0) for part in (given & labels, given, labels))
    f1 = 200 * hits / np.maximum(said + support, 1)
    per_class: list[OfLabel] = [
        {
            "name": name,
            "average_precision": 100 * float(precisions[c]) if support[c] else None,
            "precision": 100 * float(hits[c] / max(1, said[c])),
            "recall": 100 * float(hits[c] / max(1, support[c])),
            "f1": float(f1[c]),
            "threshold": float(bounds[c]),
            "support": int(support[c]),
        }
        for c, name in enumerate(names)
    ]
    return {
        "map": 100 * float(np.nanmean(precisions)) if support.any() else 0.0,
        "macro_f1": float(f1.mean()),
        "micro_f1": 200 * float(hits.sum() / max(1, (said + support).sum())),
        "per_class": per_class,
    }


def above(probabilities: NDArray[np.floating], thresholds: Sequence[float] | None) -> NDArray[np.bool_]:
    """(N, C) which classes are given: those whose probability is no less than their threshold."""
    return probabilities.astype(np.float64) >= bounds_of(thresholds, probabilities.shape[-1])


def bounds_of(thresholds: Sequence[float] | None, classes: int) -> NDArray[np.float64]:
    """(C,) thresholds, or the usual one."""
    return np.full(classes, USUAL) if thresholds is None else np.array(thresholds, dtype=np.float64)


def chosen_thresholds(probabilities: NDArray[np.floating], labels: NDArray[np.bool_]) -> list[float]:
    """Each class's threshold of the best F1 among some examples; of equal ones the largest.

    It lies half way between the least probability that is kept and the next one below. A class without examples has
    `USUAL`.

    Args:
        probabilities: (N, C).
        labels: (N, C).
    """
    found = []
    for column, own in zip(probabilities.astype(np.float64).T, labels.T):
        if not own.any():
            found.append(USUAL)
            continue
        order = np.argsort(-column, kind="stable")
        values = column[order]
        last = np.append(values[1:] < values[:-1], True)  # those of one probability are given together
        f1 = last * own[order].cumsum() / (np.arange(1, len(own) + 1) + own.sum())
        best = int(f1.argmax())
        below = values[best + 1] if best + 1 < len(values) else 0.0
        found.append(float((values[best] + below) / 2))
    return found


def told(found: LabelSummary) -> str:
    """The summary in a line."""
    return (
        f"mean average precision {found['map']:.1f} %, macro-F1 {found['macro_f1']:.1f} %, micro-F1 "
        f"{found['micro_f1']:.1f} % (at each class's threshold)"
    )
