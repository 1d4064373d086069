"""Metrics by which runs are selected and ranked, and scores of several labels, held against scikit-learn's."""

from __future__ import annotations

import warnings
from functools import partial
from typing import Any

import numpy as np
import pytest
from sklearn import metrics

from selfprompt.scores.asked import WORDS, Metric
from selfprompt.scores.classes import summary, told
from selfprompt.scores.metrics import measured, paired_bootstrap, resampled
from selfprompt.scores.several import above, chosen_thresholds, label_scores
from selfprompt.scores.verdicts import told as verdict_told
from selfprompt.scores.verdicts import verdict, verdict_by

RNG = np.random.default_rng(0)
PROBABILITIES = RNG.integers(0, 20, (200, 4)) / 20  # many are the same
SEVERAL = RNG.random((200, 4)) < 0.8 * PROBABILITIES
ONE = RNG.integers(0, 3, 200)  # the last of four classes has no example
WEIGHTS = next(resampled(200))

KNOWN: dict[str, Any] = {
    "top1": lambda y, p: metrics.accuracy_score(y, p.argmax(axis=1)),
    "balanced_accuracy": lambda y, p: metrics.balanced_accuracy_score(y, p.argmax(axis=1)),
    "macro_f1": lambda y, p: metrics.f1_score(y, p.argmax(axis=1), average="macro"),
    "map": metrics.average_precision_score,
}


@pytest.mark.parametrize("metric", KNOWN)
def test_metrics_are_scikit_learns_of_examples_as_often_as_they_are_drawn(metric: Any) -> None:
    labels = SEVERAL if metric == "map" else ONE
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        assert measured(metric, PROBABILITIES, labels)[0] == pytest.approx(100 * KNOWN[metric](labels, PROBABILITIES))
        found = measured(metric, PROBABILITIES, labels, WEIGHTS)
        for i in (0, 7):
            drawn = np.repeat(np.arange(200), WEIGHTS[i])
            assert found[i] == pytest.approx(100 * KNOWN[metric](labels[drawn], PROBABILITIES[drawn]))


def test_thresholds_have_the_best_f1_and_scores_are_scikit_learns() -> None:
    thresholds = chosen_thresholds(PROBABILITIES, SEVERAL)
    found = label_scores(PROBABILITIES, SEVERAL, list("abcd"), thresholds)
    given = above(PROBABILITIES, thresholds)
    for average in ("macro", "micro"):
        known = metrics.f1_score(SEVERAL, given, average=average)
        assert dict(found)[f"{average}_f1"] == pytest.approx(100 * known)
    for c, row in enumerate(found["per_class"]):
        f1 = partial(metrics.f1_score, SEVERAL[:, c])
        assert row["f1"] == pytest.approx(100 * max(f1(PROBABILITIES[:, c] >= t) for t in PROBABILITIES[:, c]))
        assert row["threshold"] == thresholds[c]
    assert "macro-F1" in told(summary(found))
    assert summary(found).keys() == {"map", "macro_f1", "micro_f1"}


def test_a_class_without_examples_has_no_part() -> None:
    none = SEVERAL & (np.arange(4) > 0)
    assert chosen_thresholds(PROBABILITIES, none)[0] == 0.5
    found = label_scores(PROBABILITIES, none, list("abcd"), None)
    assert found["per_class"][0]["average_precision"] is None
    assert found["map"] == pytest.approx(np.mean([row["average_precision"] or 0 for row in found["per_class"][1:]]))


def test_thresholds_lie_between_what_is_given_and_what_is_not() -> None:
    assert chosen_thresholds(np.array([[0.2], [0.6], [0.9]]), np.array([[False], [True], [True]])) == [0.4]


def test_a_bootstrap_finds_a_difference_that_is_there_and_none_that_is_not() -> None:
    noise = RNG.random(SEVERAL.shape)
    better = verdict_by("map", PROBABILITIES, noise, SEVERAL, "probe", "image")
    assert better["verdict"] == "keep the prompts"
    assert better["interval"][0] < better["difference"] < better["interval"][1]
    assert better["rival_test_map"] == pytest.approx(100 * metrics.average_precision_score(SEVERAL, noise))
    assert verdict_by("map", noise, PROBABILITIES, SEVERAL, "probe", "image")["verdict"] == "take the probe"
    assert verdict_by("map", noise, noise, SEVERAL, "probe", "image")["verdict"].startswith("no difference")
    assert paired_bootstrap(np.zeros(1000))[2] == 1
    assert paired_bootstrap(np.ones(1000))[2] == pytest.approx(2 / 1001)


@pytest.mark.parametrize("metric", ["balanced_accuracy", "macro_f1"])
def test_a_verdict_is_by_what_runs_are_ranked_by(metric: Metric) -> None:
    """Nine of ten are of one class: who says it always has the accuracy, and no more than chance otherwise."""
    labels = np.repeat([0, 1], [270, 30])
    always, careful = np.zeros(300, int), np.where(np.arange(300) % 6 == 0, 1 - labels, labels)
    own, rival = np.eye(2)[careful], np.eye(2)[always]
    assert verdict(careful == labels, always == labels, "probe", "image")["verdict"] == "take the probe"
    found = verdict_by(metric, own, rival, labels, "probe", "image")
    assert found["verdict"] == "keep the prompts"
    sk = (
        metrics.balanced_accuracy_score
        if metric == "balanced_accuracy"
        else partial(metrics.f1_score, average="macro")
    )
    assert dict(found)[f"rival_test_{metric}"] == pytest.approx(100 * sk(labels, always))
    assert f"points of {WORDS[metric]}" in verdict_told(found)
