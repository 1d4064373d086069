"""Which differences between methods the tested examples bear out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from selfprompt.comparison.rows import Row
from selfprompt.reports.table import Column
from selfprompt.scores.intervals import same
from selfprompt.tuning.answers import read_answers

LEVEL = 0.05
"""Above it, a difference is not borne out."""


def held_against_best(rows: Sequence[Row], runs: Sequence[Sequence[Path]]) -> list[Row]:
    """Rows with the p-value of their difference to the best one (see `same`), and that one with its own name.

    An example's difference is that of how many of the runs, one a seed, answer it rightly. How much runs differ with
    other seeds and training images is not in the test.

    Args:
        rows: Of one data set.
        runs: The folders of each row's runs; where one has no answers, or for other examples, rows stay as they are.
    """
    counts = [rights(folders) for folders in runs]
    known = [found for found in counts if found is not None]
    if len(known) < len(rows) or len({names for names, _ in known}) > 1:
        return list(rows)
    best = max(range(len(rows)), key=lambda i: rows[i]["test_accuracy_mean"])
    right = [own for _, own in known]
    made: list[Row] = []
    for row, own in zip(rows, right):
        more: Row = {**row, "best": rows[best]["method"]}
        if row is not rows[best]:
            more["p_value"] = same(right[best] - own)
        made.append(more)
    return made


def rights(folders: Sequence[Path]) -> tuple[tuple[str, ...], NDArray[np.int64]] | None:
    """The names of the test examples, and how many of some runs answer each rightly; None if it is not known."""
    found = [read_answers(folder).get("test") for folder in folders]
    known = [answers for answers in found if answers is not None]
    names = {tuple(answers.names) for answers in known}
    if len(known) < len(found) or len(names) != 1:
        return None
    return names.pop(), np.sum([answers.right for answers in known], axis=0)


def paired_columns(rows: Sequence[Row]) -> list[Column[Row]]:
    """One, where rows are held against the best."""
    return [Column("against the best", against)] if any("p_value" in row for row in rows) else []


def against(row: Row) -> str:
    """The p-value, and whether the difference is borne out."""
    if (p := row.get("p_value")) is None:
        return "best" if row.get("best") == row["method"] else ""
    said = "p < 0.001" if p < 0.001 else f"p = {p:.3f}"
    return said if p <= LEVEL else f"not borne out ({said})"
