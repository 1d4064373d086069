"""Scores, calibration and intervals, on arrays whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from scipy.special import softmax
from sklearn import metrics

from selfprompt.errors import UserError
from selfprompt.scores.calibration import (
    PRECISIONS,
    Calibration,
    automatic,
    calibration,
    reliability,
    takes_right,
    temperature,
    tempered,
    threshold,
)
from selfprompt.scores.classes import scores, summary, told
from selfprompt.scores.intervals import paired_difference, same, wilson


def drawn(count: int, classes: int, scale: float = 2) -> tuple[np.ndarray, np.ndarray]:
    """Scores, and labels that have just the probabilities which their softmax says."""
    rng = np.random.default_rng(0)
    logits = scale * rng.normal(size=(count, classes))
    probabilities = softmax(logits, axis=1)
    return logits, (rng.random((count, 1)) > probabilities.cumsum(axis=1)[:, :-1]).sum(axis=1)


@pytest.mark.parametrize(("right", "count"), [(0, 7), (7, 7), (3, 10), (950, 1000)])
def test_wilson_is_scipys(right: int, count: int) -> None:
    known = stats.binomtest(right, count).proportion_ci(method="wilson")
    assert np.allclose(wilson(right, count), (known.low, known.high), atol=1e-12)


@pytest.mark.parametrize(
    ("cells", "interval"),
    [  # Newcombe's example; two shares that Wilson's intervals of alone decide
        ((36, 12, 2, 0), (0.0569, 0.3404)),
        ((0, 30, 0, 0), (0.8395, 1.0)),
    ],
)
def test_paired_differences_are_newcombes(cells, interval) -> None:
    pairs = np.repeat([(True, True), (True, False), (False, True), (False, False)], cells, axis=0)
    found = paired_difference(pairs[:, 0], pairs[:, 1])
    assert found[0] == pytest.approx((cells[1] - cells[2]) / len(pairs))
    assert found[1:] == pytest.approx(interval, abs=1e-4)
    assert paired_difference(pairs[:, 1], pairs[:, 0])[1:] == pytest.approx((-found[2], -found[1]))


def test_paired_intervals_hold_the_truth_as_often_as_they_say() -> None:
    rng, held = np.random.default_rng(0), 0
    for _ in range(1000):
        hard = rng.random(80)  # what makes both wrong
        found = paired_difference(hard + 0.2 * rng.random(80) < 0.8, hard + 0.5 * rng.random(80) < 0.8)
        held += found[1] <= 0.15 <= found[2]
    assert 930 < held < 985


def test_answers_that_agree_differ_less_surely_than_independent_ones_would() -> None:
    one = np.arange(400) < 360
    alike, apart = np.arange(400) < 340, np.random.default_rng(0).permutation(np.arange(400) < 340)
    assert paired_difference(one, alike)[1] > 0 > paired_difference(one, apart)[1] - 0.02
    assert paired_difference(one, one)[0] == 0


@pytest.mark.parametrize(("won", "lost"), [(1, 0), (5, 0), (12, 3), (40, 20), (9, 9)])
def test_one_run_each_is_tested_as_mcnemar_does(won: int, lost: int) -> None:
    differences = np.repeat([1, -1, 0], [won, lost, 500])
    assert same(differences) == pytest.approx(stats.binomtest(won, won + lost).pvalue, abs=0.01)
    assert same(differences) == same(-differences)


def test_repeated_runs_on_the_same_examples_are_no_more_examples() -> None:
    differences = np.repeat([1, -1, 0], [9, 2, 100])
    assert same(3 * differences) == pytest.approx(same(differences), abs=0.01)
    assert same(np.zeros(10, dtype=int)) == 1


@pytest.mark.parametrize("true", [0.5, 1.0, 3.0])
def test_temperature_is_found_again(true: float) -> None:
    logits, labels = drawn(20_000, 4)
    given = softmax(true * logits, axis=1).astype(np.float32)
    found = temperature(given, labels)
    assert found == pytest.approx(true, rel=0.05)
    assert np.array_equal(tempered(given, found).argmax(axis=1), given.argmax(axis=1))
    assert np.allclose(tempered(given, true), softmax(logits, axis=1), atol=1e-4)
    assert reliability(tempered(given, found), labels)[0] < 2
    if true != 1:
        assert reliability(given, labels)[0] > 4


def test_expected_calibration_error_by_hand() -> None:
    """Two bins: 0.6 said and half right, three times 0.9 said and all right; 0.6 = 9/15 ends its bin."""
    probabilities = np.array([[0.6, 0.4]] * 2 + [[0.1, 0.9]] * 3)
    error, bins = reliability(probabilities, np.array([0, 1, 1, 1, 1]))
    assert error == pytest.approx((2 * 10 + 3 * 10) / 5)
    assert [b["count"] for b in bins] == [2, 3]
    assert [b["accuracy"] for b in bins] == [50, 100]
    assert reliability(np.eye(3), np.arange(3))[0] == 0


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_threshold_gives_what_was_asked_on_other_examples_of_the_kind(precision: float) -> None:
    logits, labels = drawn(4000, 3, scale=6)
    probabilities = softmax(logits, axis=1)
    sure, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    found = threshold(sure[:2000], right[:2000], precision)
    assert found is not None
    kept = sure[:2000] >= found.threshold
    assert kept.mean() == pytest.approx(found.coverage)
    assert wilson(right[:2000][kept].sum(), kept.sum())[0] >= precision
    assert right[2000:][sure[2000:] >= found.threshold].mean() >= precision
    assert found.coverage < right.mean() + 0.2


def test_a_threshold_takes_enough_examples_and_keeps_equals_together() -> None:
    sure = np.linspace(0.9, 1, 34)
    assert threshold(sure, np.ones(34, dtype=bool), 0.9) is None
    one_more = threshold(np.append(sure, 0.9), np.ones(35, dtype=bool), 0.9)
    assert one_more is not None
    assert one_more.coverage == 1
    tied = threshold(np.full(80, 0.8), np.arange(80) < 40, 0.9)
    assert tied is None


def test_a_temperature_takes_enough_examples_and_an_error() -> None:
    _, labels = drawn(60, 3)
    right = np.eye(3)[labels] * 0.9 + 0.1 / 3
    assert calibration(right[:40], labels[:40]) == (
        "40 validation examples are too few, for predict --threshold auto, too: it takes 50 (a larger "
        "--val-fraction), or give predict a number, such as --threshold 0.9"
    )
    assert calibration(right, labels) == Calibration(examples=60, thresholds=calibration(right, labels).thresholds)
    wrong = right.copy()
    wrong[0] = np.roll(wrong[0], 1)
    found = calibration(wrong, labels)
    assert isinstance(found, Calibration)
    assert found.temperature < 1
    assert [t.precision for t in found.thresholds] == [0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9]
    assert found.at(0.86) == found.at(0.9) == found.thresholds[-1]
    assert found.at(0.95) is None


def test_half_right_answers_bear_out_a_half() -> None:
    sure, right = np.linspace(1, 0.5, 200), np.arange(200) % 5 < 3  # of all, 60 % are right
    kept = Calibration(examples=200, thresholds=[t for p in PRECISIONS if (t := threshold(sure, right, p))])
    assert automatic(kept, "auto:0.5") == automatic(kept, "auto:0.47") == 0.5
    with pytest.raises(
        UserError, match=r"it takes 50 that are right, and there are 200 with too many wrong.*0\.9, or auto:0\.\d+\."
    ):
        automatic(kept, "auto:0.8")
    few = r"0\.95 \(it takes 73 that are right, and there are 39\): give a number, such as 0\.9, or train with more"
    with pytest.raises(UserError, match=few + r" validation examples \(a larger --val-fraction\)\."):
        automatic(None, "auto", 39)


@pytest.mark.parametrize(("precision", "count"), [(0.5, 50), (0.9, 50), (0.95, 73), (0.99, 381)])
def test_a_threshold_takes_as_many_as_is_said(precision: float, count: int) -> None:
    assert takes_right(precision) == count
    assert threshold(np.ones(count), np.ones(count, dtype=bool), precision) is not None


def test_scores_are_scikit_learns() -> None:
    logits, labels = drawn(500, 7)
    probabilities = softmax(logits, axis=1)
    names = [f"class {i}" for i in range(7)]
    found = scores(probabilities, labels, names, 2.0)
    predicted = probabilities.argmax(axis=1)
    assert found["macro_f1"] == pytest.approx(100 * metrics.f1_score(labels, predicted, average="macro"))
    assert found["balanced_accuracy"] == pytest.approx(np.mean([row["recall"] for row in found["per_class"]]))
    auroc = metrics.roc_auc_score(labels, probabilities, multi_class="ovr")
    assert found.get("auroc") == pytest.approx(100 * auroc)
    top5 = np.argsort(-probabilities, axis=1)[:, :5] == labels[:, None]
    assert found.get("top5_accuracy") == pytest.approx(100 * top5.any(axis=1).mean())
    assert [row["support"] for row in found["per_class"]] == np.bincount(labels).tolist()
    assert found["ece"] > found.get("ece_before", 100)
    assert summary(found).keys() == {name for name, value in found.items() if not isinstance(value, list)} | {
        "accuracy_interval"
    }
    assert f"macro-F1 {found['macro_f1']:.1f} %" in told(summary(found))


def test_two_classes_have_one_auroc_and_no_top5_and_a_missing_class_has_none() -> None:
    logits, labels = drawn(100, 2)
    probabilities = softmax(logits, axis=1)
    found = scores(probabilities, labels, ["a", "b"], None)
    assert found.get("auroc") == pytest.approx(100 * metrics.roc_auc_score(labels, probabilities[:, 1]))
    assert not {"top5_accuracy", "ece_before"} & found.keys()
    some = scores(probabilities[labels == 0], labels[labels == 0], ["a", "b"], None)
    assert "auroc" not in some
    assert some["balanced_accuracy"] == some["per_class"][0]["recall"]
    assert some["per_class"][1]["support"] == 0
