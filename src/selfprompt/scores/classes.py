"""How good answers are, beside their accuracy."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from typing_extensions import NotRequired, TypedDict

from selfprompt.scores import several
from selfprompt.scores.calibration import Bin, reliability, tempered
from selfprompt.scores.intervals import wilson
from selfprompt.scores.several import LabelScores, LabelSummary


class OfClass(TypedDict):
    """Precision, recall and their harmonic mean of one class, in percent; ``support`` counts its examples."""

    name: str
    precision: float
    recall: float
    f1: float
    support: int


class Summary(TypedDict):
    """Everything in percent. ``accuracy_interval`` is Wilson's of 95 %; ``auroc`` is that of two classes, or the mean
    over classes of each against the rest, where every class has examples; ``ece`` is the expected calibration error
    (see `reliability`), and ``ece_before`` that without the temperature, where there is one."""

    accuracy_interval: list[float]
    balanced_accuracy: float
    macro_f1: float
    top5_accuracy: NotRequired[float]
    auroc: NotRequired[float]
    ece: float
    ece_before: NotRequired[float]


class Scores(Summary):
    """Those of each class, too, and the bins of the calibration errors."""

    bins: list[Bin]
    bins_before: NotRequired[list[Bin]]
    per_class: list[OfClass]


WORDS = {
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro-F1",
    "top5_accuracy": "top-5 accuracy",
    "auroc": "AUROC",
}


def told(found: Summary | LabelSummary) -> str:
    """The summary in a line."""
    if "map" in found:
        return several.told(found)
    low, high = found["accuracy_interval"]
    parts = [f"95 % interval {low:.1f} to {high:.1f} %"]
    parts += [f"{words} {found[name]:.1f} %" for name, words in WORDS.items() if name in found]
    before = f" ({found['ece_before']:.1f} % without the temperature)" if "ece_before" in found else ""
    return ", ".join([*parts, f"calibration error {found['ece']:.1f} %{before}"])


def summary(found: Scores | LabelScores) -> Summary | LabelSummary:
    """The summary alone."""
    known = {*Summary.__annotations__, *LabelSummary.__annotations__}
    return {name: value for name, value in found.items() if name in known}  # type: ignore[return-value]


def scores(
    probabilities: NDArray[np.floating], labels: NDArray[np.int64], names: Sequence[str], temperature: float | None
) -> Scores:
    """Scores of (N, C) probabilities.

    Args:
        probabilities: Without the temperature.
        labels: (N,).
        names: Of the C classes.
        temperature: None where none was fitted.
    """
    from sklearn import metrics  # it takes a second

    rest: Any = {"zero_division": 0}
    classes, predicted = np.arange(len(names)), probabilities.argmax(axis=1)
    each: Any = metrics.precision_recall_fscore_support(labels, predicted, labels=classes, **rest)
    per_class: list[OfClass] = [
        {
            "name": name,
            "precision": 100 * float(precision),
            "recall": 100 * float(recall),
            "f1": 100 * float(f1),
            "support": int(support),
        }
        for name, precision, recall, f1, support in zip(names, *each)
    ]
    low, high = wilson(int((predicted == labels).sum()), len(labels))
    with warnings.catch_warnings():  # of classes that are predicted and have no examples
        warnings.simplefilter("ignore", UserWarning)
        balanced = metrics.balanced_accuracy_score(labels, predicted)
    error, bins = reliability(tempered(probabilities, temperature or 1), labels)
    made: Scores = {
        "accuracy_interval": [100 * float(low), 100 * float(high)],
        "balanced_accuracy": 100 * float(balanced),
        "macro_f1": 100 * float(metrics.f1_score(labels, predicted, average="macro", **rest)),
        "ece": error,
        "bins": bins,
        "per_class": per_class,
    }
    if temperature is not None:
        made["ece_before"], made["bins_before"] = reliability(probabilities, labels)
    if len(names) > 5:
        made["top5_accuracy"] = 100 * float(metrics.top_k_accuracy_score(labels, probabilities, k=5, labels=classes))
    if len(np.unique(labels)) == len(names):
        of_each = [metrics.roc_auc_score(labels == c, probabilities[:, c]) for c in classes]
        made["auroc"] = 100 * float(of_each[1] if len(names) == 2 else np.mean(of_each))
    return made
