"""A trained run's test: its answers, what cheaper ones there are, its probabilities, and the files it leaves."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from selfprompt.backbones.base import Backbone
from selfprompt.backbones.clip import DualEncoder
from selfprompt.data.batches import Decoded
from selfprompt.data.checks.findings import Findings
from selfprompt.data.contents import fingerprint_of
from selfprompt.data.datasets import Dataset, Splits
from selfprompt.data.recorded import splits_for
from selfprompt.heads.linear import LinearHead
from selfprompt.model import PromptedModel
from selfprompt.runs.analysis import analyse_run
from selfprompt.runs.config import RunConfig
from selfprompt.runs.data_check import look_at_data
from selfprompt.runs.evaluate import new_classes
from selfprompt.runs.outcome import (
    PROBE,
    answers_by,
    answers_of,
    by_thresholds,
    calibrated,
    cheaper,
    kept_instead,
    plain_features,
    probed,
    scored,
    surest,
    verdicts,
)
from selfprompt.runs.probe import give_weights
from selfprompt.runs.zero_shot import zero_shot
from selfprompt.scores.classes import summary
from selfprompt.scores.verdicts import Verdict
from selfprompt.tuning.answers import Answers, write_answers
from selfprompt.tuning.engine import Engine
from selfprompt.tuning.fit import Result
from selfprompt.tuning.records import OfProbe, Tested, score_of, write_labels, write_metrics, write_predictions
from selfprompt.watch import stage


@dataclass(frozen=True)
class Trained:
    """A run whose training is over.

    Args:
        folder, config: The run's.
        model: Trained, on the engine's device.
        backbone: That it was built on.
        dataset: Of which the splits are.
        splits: Its examples.
        train, val, test: The same as they are read. Where validation examples were trained on, too, they stand behind
            the training ones, and ``val`` is None.
        result: Of the training.
        answers: The model's for the test examples and, where they were not trained on, the validation ones.
    """

    folder: Path
    config: RunConfig
    model: PromptedModel
    backbone: Backbone | DualEncoder
    dataset: Dataset
    splits: Splits
    train: Decoded
    val: Decoded | None
    test: Decoded
    result: Result
    answers: dict[str, Answers] = field(default_factory=dict)

    @property
    def batch_size(self) -> int:
        """Examples at a time where nothing is trained."""
        return 2 * self.config.recipe.batch_size

    def parts(self) -> tuple[Decoded, Decoded, Decoded]:
        """Training, validation and test examples, whatever was trained on."""
        if self.val is not None:
            return self.train, self.val, self.test
        first = len(self.splits.train)
        own, rest = np.arange(first), np.arange(first, len(self.train))
        return self.train.take(own), self.train.take(rest), self.test

    def answering(self, engine: Engine) -> Trained:
        """The same, with its answers."""
        asked = {"test": self.test} if self.val is None else {"val": self.val, "test": self.test}
        found = answers_of(self.model, asked, self.splits, engine, self.batch_size)
        return replace(self, answers=by_thresholds(self.model, found))


@dataclass(frozen=True)
class Rivals:
    """What else there is than the prompts that were trained.

    Args:
        worth: What is kept, held against them.
        looked: What their features say of the data.
        kept: The run with a probe in the prompts' place, where that is kept, and what of its metrics changes.
    """

    worth: list[Verdict] = field(default_factory=list)
    looked: Findings | None = None
    kept: tuple[Trained, OfProbe] | None = None


def finish(run: Trained, engine: Engine, analysed: bool) -> Result:
    """Look at the test examples, once, and write what a run leaves; metrics.json last, as with it the run is done.

    Args:
        run: Without answers.
        engine: Where to compute; its trackers are told, and it is closed.
        analysed: Make the analysis that the run's page shows.
    """
    run, config = run.answering(engine), run.config
    has_val = len(run.splits.val) > 0
    rivals = Rivals()
    if has_val and config.probe and config.method.trainable() == "prompts":
        rivals = held_against_rivals(run, engine, analysed)
    changed: OfProbe | None = None
    if rivals.kept:
        run, changed = rivals.kept
    metrics = measured(run, rivals.worth, changed, engine)
    engine.track(told(metrics), step=len(run.result.history))
    engine.close()
    if engine.is_main:
        write(run, metrics)
        if has_val and analysed:
            with stage("analysis"):
                analyse(run, metrics, rivals.looked)
        write_metrics(run.folder, metrics)
    engine.wait()
    return Result(metrics, run.result.history, run.folder)


def held_against_rivals(run: Trained, engine: Engine, analysed: bool) -> Rivals:
    """A linear probe and nearest neighbours on the frozen features, and what these say of the data."""
    config, model, parts = run.config, run.model, run.parts()
    protocol, metric, inputs = (
        config.protocol.completed(run.train.examples),
        config.protocol.metric,
        config.protocol.inputs,
    )
    bare, plain, features = plain_features(model, run.backbone, protocol, engine, parts)
    probe = probed(features, metric)
    written = zero_shot(model, run.backbone, engine) if model.head.knows_names else None
    others = cheaper(features, probe, written, metric)
    looked = None
    if analysed and engine.is_main:
        named: dict[str, Decoded] = dict(zip(("train", "val", "test"), plain))
        looked = look_at_data(run.splits, named, features, model.backbone.info.name)
    if config.or_probe and not model.head.knows_names:
        assert isinstance(bare.head, LinearHead)
        give_weights(bare.head, probe)
        known = {"val": features[1], "test": features[2]}
        own = answers_by(bare.head, known, run.splits, engine, run.batch_size, model.num_classes)
        own = by_thresholds(bare, own)
        if changed := kept_instead(bare, own, model, run.answers):
            tested = run.answers["test"]
            prompts = tested.probabilities if model.multi_label else tested.predicted
            others = {f"prompts of {model.method.name}": prompts} | {k: v for k, v in others.items() if k != PROBE}
            worth = verdicts(own["test"], others, inputs, metric, PROBE)
            return Rivals(worth, looked, (replace(run, model=bare, answers=own), changed))
    return Rivals(verdicts(run.answers["test"], others, inputs, metric), looked)


def measured(run: Trained, worth: list[Verdict], changed: OfProbe | None, engine: Engine) -> Tested:
    """What metrics.json holds; what of it an adapter keeps is given to the model, with its temperature."""
    config, model, tested = run.config, run.model, run.answers["test"]
    model.calibration, uncalibrated = calibrated(run.answers.get("val"))
    temperature = None if model.calibration is None else model.calibration.temperature
    found = scored(tested, run.splits.class_names, temperature)
    accuracy = 100 * int(tested.right.sum()) / len(run.test)
    assert "test_images" not in run.result.metrics
    metrics: Tested = {
        **run.result.metrics,
        "test_accuracy": accuracy,
        "test_images": len(run.test),
        "scores": found,
    }
    if changed:
        metrics = {**metrics, **changed}
    assert model.metrics is not None
    if model.multi_label and "val" in run.answers:  # by the thresholds, as the test's
        metrics["val_accuracy"] = model.metrics["val_accuracy"] = 100 * float(run.answers["val"].right.mean())
    if temperature is None:
        metrics["uncalibrated"] = uncalibrated
    else:
        metrics["temperature"] = temperature
    if worth:
        metrics["worth"] = worth
        probe = accuracy if changed else worth[0].get("rival_test_accuracy")
        if probe is not None:
            metrics["linear_probe_test_accuracy"] = probe
    if config.protocol.classes == "base" and model.head.knows_names:
        protocol = config.protocol.model_copy(update={"classes": "new"})
        new = splits_for(run.dataset, protocol, run.folder, seed=config.seed)
        if len(new.test):  # of which a rehearsal, and data that are given so, have none
            metrics["new_classes"] = new_classes(model, run.backbone, new, accuracy, engine)
    model.metrics |= {"test_accuracy": accuracy, "test_scores": summary(found), "data": run.dataset.fingerprint()}
    return metrics


def told(metrics: Tested) -> dict[str, float]:
    """What a run's trackers are told of its test."""
    found = {"test_accuracy": metrics["test_accuracy"]}
    if metric := metrics.get("metric"):
        found[f"test_{metric}"] = score_of(metrics)
    if "linear_probe_test_accuracy" in metrics:
        found["linear_probe_test_accuracy"] = metrics["linear_probe_test_accuracy"]
    if "new_classes" in metrics:
        found["new_classes_accuracy"] = metrics["new_classes"]["accuracy"]
    return found


def said(tested: Answers, metrics: Tested) -> tuple[Tensor, Tensor]:
    """(N,) classes that are answered, and (N,) their probabilities at the temperature where there is one."""
    return torch.from_numpy(tested.predicted), torch.from_numpy(surest(tested, metrics.get("temperature")))


def write(run: Trained, metrics: Tested) -> None:
    """The adapter, predictions.csv and probabilities.safetensors."""
    model, tested, inputs = run.model, run.answers["test"], run.config.protocol.inputs
    assert model.metrics is not None
    model.metrics["contents"] = fingerprint_of(run.splits.test.images)
    model.save_pretrained(run.folder)
    names = run.splits.class_names
    if model.multi_label:
        write_labels(run.folder, tested, names, inputs)
    else:
        write_predictions(run.folder, tested.names, names, run.test.labels, *said(tested, metrics), inputs)
    write_answers(run.folder, run.answers)


def analyse(run: Trained, metrics: Tested, looked: Findings | None) -> None:
    """analysis.json, and thumbnails.png of images."""
    tested = run.answers["test"]
    names = list(run.splits.class_names)
    analyse_run(run.folder, run.model, names, *run.parts(), tested.names, *said(tested, metrics), looked)
