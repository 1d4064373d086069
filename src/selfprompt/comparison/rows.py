"""Rows of a comparison's table, and what its columns say of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NotRequired

from typing_extensions import TypedDict

from selfprompt.reports.table import Column, Result, Tried, spread
from selfprompt.scores.asked import WORDS, Metric


class Chosen(TypedDict):
    """The end of a search: the best trial, by its number among all of them."""

    number: int
    point: dict[str, float]
    trials: list[Tried]


class Measured(Result):
    """What rows of comparisons and of benchmarks have in common beside what is read again.

    ``also`` is of what else the tested runs were evaluated on: each seed's accuracy.
    """

    seconds: float
    peak_memory_bytes: int
    readout: str
    precision: str
    budget: float
    also: NotRequired[dict[str, list[float]]]


class Row(Measured):
    """A method on one data set; ``budget`` is by how much longer than others it trains, ``best`` the method that it
    is held against (see `held_against_best`). Where the protocol's metric is not the accuracy, the row has its name
    and the tested runs' scores by it; ``val_accuracy`` and the trials' are by it, too."""

    total_parameters: int
    val_accuracy: float
    lr: float
    lr_at_the_end_of_what_was_tried: bool
    head_lr: NotRequired[float]
    head_lr_at_the_end_of_what_was_tried: NotRequired[bool]
    weight_decay: float
    head_weight_decay: float
    test_accuracies: list[float]
    metric: NotRequired[Metric]
    test_scores: NotRequired[list[float]]
    test_score_mean: NotRequired[float]
    test_score_std: NotRequired[float]
    best: NotRequired[str]
    method_fields: dict[str, Any]
    protocol: str


def accuracy(row: Result) -> str:
    """Mean and deviation."""
    return spread(row["test_accuracy_mean"], row["test_accuracy_std"], row["seeds"])


def ranked(row: Row) -> float:
    """The tested runs' mean by the protocol's metric."""
    return row.get("test_score_mean", row["test_accuracy_mean"])


def score_columns(rows: Sequence[Row]) -> list[Column[Row]]:
    """One, where rows are ranked by another metric than the accuracy."""
    metric = rows[0].get("metric")
    return [Column(f"test {WORDS[metric]}, %", score)] if metric else []


def score(row: Row) -> str:
    """Mean and deviation by that metric."""
    return spread(ranked(row), row.get("test_score_std", 0.0), row["seeds"])


def method(row: Measured) -> str:
    """The method, and how much longer than others it trains, if it does."""
    return row["method"] + (f" (trained {row['budget']:g}x)" if row.get("budget", 1) > 1 else "")


def rate(row: Row) -> str:
    """The chosen learning rate, then the head's own, each marked where it lies at an end of what was tried."""

    def marked(rate: float, end: bool) -> str:
        return f"{rate:.2g}" + (" (end)" if end else "")

    if not row["trainable_parameters"]:
        return "-"
    own = marked(row["lr"], row["lr_at_the_end_of_what_was_tried"])
    if "head_lr" not in row:
        return own
    return f"{own}, head {marked(row['head_lr'], row.get('head_lr_at_the_end_of_what_was_tried', False))}"


COLUMNS: tuple[Column[Row], ...] = (
    Column("method", method),
    Column("test accuracy, %", accuracy),
    Column("trained parameters", lambda row: f"{row['trainable_parameters']:,}"),
    Column("seconds", lambda row: f"{row['seconds']:.0f}"),
    Column("peak memory, MiB", lambda row: f"{row['peak_memory_bytes'] / 2**20:,.0f}"),
    Column("learning rate", rate),
    Column("weight decay", lambda row: f"{row['weight_decay']:.2g}"),
    Column("readout", lambda row: row["readout"]),
    Column("precision", lambda row: row["precision"]),
)
