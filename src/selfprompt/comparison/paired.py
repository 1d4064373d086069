"""Which differences between methods the tested examples bear out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from selfprompt.comparison.rows import Row, ranked
from selfprompt.reports.table import Column
from selfprompt.scores.asked import Metric
from selfprompt.scores.intervals import same
from selfprompt.scores.metrics import measured, paired_bootstrap, resampled
from selfprompt.tuning.answers import Answers, read_answers

LEVEL = 0.05
"""Above it, a difference is not borne out."""


def held_against_best(rows: Sequence[Row], runs: Sequence[Sequence[Path]]) -> list[Row]:
    """Rows with the p-value of their difference to the best one (see `same`), and that one with its own name.

    An example's difference is that of how many of the runs, one a seed, answer it rightly. Of another metric than the
    accuracy, the seeds' mean is taken on examples drawn anew with replacement (see `paired_bootstrap`). How much runs
    differ with other seeds and training images is not in the test.

    Args:
        rows: Of one data set.
        runs: The folders of each row's runs; where one has no answers, or for other examples, rows stay as they are.
    """
    found = [[read_answers(folder).get("test") for folder in folders] for folders in runs]
    known = [[answers for answers in own if answers is not None] for own in found]
    if list(map(len, known)) != list(map(len, runs)) or len({tuple(a.names) for own in known for a in own}) != 1:
        return list(rows)
    best, metric = max(range(len(rows)), key=lambda i: ranked(rows[i])), rows[0].get("metric")
    compared = [drawn(metric, own) if metric else np.sum([a.right for a in own], axis=0) for own in known]
    made: list[Row] = []
    for row, own in zip(rows, compared):
        more: Row = {**row, "best": rows[best]["method"]}
        if row is not rows[best]:
            difference = compared[best] - own
            more["p_value"] = paired_bootstrap(difference)[2] if metric else same(difference)
        made.append(more)
    return made


def drawn(metric: Metric, runs: Sequence[Answers]) -> NDArray[np.float64]:
    """(D,) the runs' mean of a metric, on the same examples drawn anew D times."""
    parts = [
        np.mean([measured(metric, own.probabilities, own.labels, weights) for own in runs], axis=0)
        for weights in resampled(len(runs[0].labels))
    ]
    return np.concatenate(parts)


def paired_columns(rows: Sequence[Row]) -> list[Column[Row]]:
    """One, where rows are held against the best."""
    return [Column("against the best", against)] if any("p_value" in row for row in rows) else []


def against(row: Row) -> str:
    """The p-value, and whether the difference is borne out."""
    if (p := row.get("p_value")) is None:
        return "best" if row.get("best") == row["method"] else ""
    said = "p < 0.001" if p < 0.001 else f"p = {p:.3f}"
    return said if p <= LEVEL else f"not borne out ({said})"
