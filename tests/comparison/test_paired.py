"""Differences to the best method are marked by what the same test examples bear out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from selfprompt.comparison.paired import against, held_against_best, paired_columns
from selfprompt.scores.intervals import same
from selfprompt.tuning.answers import Answers, write_answers

N = 200


def answered(folder: Path, right: np.ndarray, first: str = "0") -> Path:
    """A run that answers some of its test examples rightly."""
    labels = np.arange(len(right)) % 2
    probabilities = np.eye(2, dtype=np.float32)[np.where(right, labels, 1 - labels)]
    names = [first, *map(str, range(1, len(right)))]
    write_answers(folder, {"test": Answers(probabilities, labels, names)})
    return folder


def table(tmp_path: Path, *wrong: range, seeds: int = 3, first: str = "0"):
    """Rows and runs of methods by the examples that each answers wrongly; the last is given its first name."""
    rows, runs = [], []
    for i, own in enumerate(wrong):
        right = ~np.isin(np.arange(N), own)
        rows.append({"method": f"m{i}", "test_accuracy_mean": 100 * right.mean()})
        name = first if i == len(wrong) - 1 else "0"
        runs.append([answered(tmp_path / f"m{i}" / f"seed-{seed}", right, name) for seed in range(seeds)])
    return rows, runs


def test_only_what_examples_bear_out_is_a_difference(tmp_path: Path) -> None:
    rows, runs = table(tmp_path, range(40), range(10), range(4, 16))
    marked = held_against_best(rows, runs)
    assert {row["best"] for row in marked} == {"m1"}
    assert "p_value" not in marked[1]
    assert marked[0]["p_value"] == pytest.approx(same(np.repeat([1, 0], [30, N - 30])), abs=0.01)
    assert against(marked[0]) == "p < 0.001"
    assert against(marked[1]) == "best"
    assert against(marked[2]).startswith("not borne out (p = 0.")
    assert [column.title for column in paired_columns(marked)] == ["against the best"]


def test_a_method_that_is_as_good_on_all_examples_is_not_borne_out(tmp_path: Path) -> None:
    first, second = held_against_best(*table(tmp_path, range(10), range(10)))
    assert against(first) == "best"
    assert second["p_value"] == 1


@pytest.mark.parametrize("lacks", ["answers", "the same examples"])
def test_what_cannot_be_paired_is_left_unmarked(lacks: str, tmp_path: Path) -> None:
    rows, runs = table(tmp_path, range(40), range(10), first="0" if lacks == "answers" else "other")
    if lacks == "answers":
        (runs[0][1] / "probabilities.safetensors").unlink()
    assert held_against_best(rows, runs) == rows
    assert paired_columns(rows) == []
