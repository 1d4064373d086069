"""What a trained model turned out to be: its answers, how sure they may be, and what cheaper ones there are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from selfprompt.assembly import build
from selfprompt.backbones.base import Backbone
from selfprompt.backbones.clip import DualEncoder
from selfprompt.data.batches import Batches, Decoded, Features
from selfprompt.data.datasets import Splits
from selfprompt.data.protocol import BaseProtocol
from selfprompt.data.recorded import image_names
from selfprompt.data.tables import Kind
from selfprompt.methods.linear import Linear
from selfprompt.model import PromptedModel
from selfprompt.runs.probe import answered, frozen, linear_probe, nearest, shares
from selfprompt.runs.zero_shot import zero_shot_answers
from selfprompt.scores.asked import Metric
from selfprompt.scores.calibration import Calibration, calibration, tempered
from selfprompt.scores.classes import Scores, scores
from selfprompt.scores.metrics import measured
from selfprompt.scores.several import LabelScores, chosen_thresholds, label_scores
from selfprompt.scores.verdicts import PROMPTS, Verdict, verdict, verdict_by
from selfprompt.tuning.answers import Answers
from selfprompt.tuning.engine import Engine
from selfprompt.tuning.evaluation import probabilities
from selfprompt.tuning.records import InsteadOf, OfProbe
from selfprompt.watch import stage

PROBE = "linear probe"
TRAINED_ON = "validation examples were trained on, too: none is left for a temperature or a threshold"


def answers_of(
    model: PromptedModel, parts: Mapping[str, Decoded], splits: Splits, engine: Engine, batch_size: int
) -> dict[str, Answers]:
    """The model's answers for each part of the splits, by name."""
    with model.folded(), engine.computing(model):
        return answers_by(model, parts, splits, engine, batch_size, model.num_classes)


def answers_by(
    network: nn.Module, parts: Mapping[str, Batches], splits: Splits, engine: Engine, batch_size: int, classes: int
) -> dict[str, Answers]:
    """`answers_of`, of a network and what it reads: a model and images, or its head and their features."""
    found = {}
    for name, part in parts.items():
        rows, _ = probabilities(network, part, engine, batch_size, classes)
        found[name] = Answers(rows.numpy(), part.labels.numpy(), image_names(splits, name))
    return found


def calibrated(validated: Answers | None) -> tuple[Calibration | None, str]:
    """What validation says of probabilities, or None and why there is nothing."""
    if validated is not None and validated.labels.ndim == 2:
        return None, "with several labels, validation chooses a threshold for each class instead"
    found = TRAINED_ON if validated is None else calibration(validated.probabilities, validated.labels)
    return (None, found) if isinstance(found, str) else (found, "")


def scored(tested: Answers, names: Sequence[str], temperature: float | None) -> Scores | LabelScores:
    """The test's scores."""
    if tested.labels.ndim == 2:
        return label_scores(tested.probabilities, tested.labels, names, tested.thresholds)
    return scores(tested.probabilities, tested.labels, names, temperature)


def surest(tested: Answers, temperature: float | None) -> NDArray[np.floating]:
    """(N,) the probability of each answer, at the temperature where there is one."""
    found = tested.probabilities if temperature is None else tempered(tested.probabilities, temperature)
    return found.max(axis=1)


def plain_features(
    model: PromptedModel,
    backbone: Backbone | DualEncoder,
    protocol: BaseProtocol,
    engine: Engine,
    parts: Sequence[Decoded],
) -> tuple[PromptedModel, list[Decoded], list[Features]]:
    """A model without prompts, examples without augmentation, and their features by its frozen backbone alone.

    Args:
        model: The model with prompts.
        backbone: That it was built on.
        protocol: Of what they read; the model's own has its template, too.
        engine: Where to compute.
        parts: Training, validation and test images.
    """
    bare = build(Linear(readout=model.method.readout), backbone, model.num_classes, protocol, model.class_names)
    engine.place(bare)
    train, *others = parts
    plain = [train.take(np.arange(len(train))) if train.augmented else train, *others]
    if bare.protocol.hash != model.protocol.hash:  # texts stand in another template
        plain = [Decoded(part.examples, bare.protocol) for part in plain]
    with engine.computing(bare), engine.autocast():
        return bare, plain, frozen(bare, *plain)


def probed(features: Sequence[Features], metric: Metric) -> Any:
    """A `linear_probe` of features of training and validation examples, by what runs are ranked by."""
    train, val, *_ = features
    with stage("probe", len(train)) as advance:
        found = linear_probe(train, val, metric)
        advance(len(train), "")
    return found


def validated_score(model: PromptedModel, answers: Mapping[str, Answers]) -> float:
    """A model's score on validation by its protocol's metric, in percent."""
    val = answers["val"]
    return float(measured(model.protocol.metric, val.probabilities, val.labels)[0])


def by_thresholds(model: PromptedModel, answers: Mapping[str, Answers]) -> dict[str, Answers]:
    """A model's answers; with several labels an example, by thresholds that validation chooses for the model."""
    if model.multi_label and "val" in answers:
        model.thresholds = chosen_thresholds(answers["val"].probabilities, answers["val"].labels)
    return {name: replace(part, thresholds=model.thresholds) for name, part in answers.items()}


def kept_instead(
    probe: PromptedModel, probed: Mapping[str, Answers], model: PromptedModel, answers: Mapping[str, Answers]
) -> OfProbe | None:
    """What of a run's metrics changes where validation prefers a linear probe to a model with prompts, else None.

    The probe gets what the model knows of the run. Neither choice sees a test image.
    """
    score, other = validated_score(model, answers), validated_score(probe, probed)
    if other <= score:
        return None
    trained, total = probe.count_parameters()
    instead: InsteadOf = {
        "method": model.method.name,
        "val_score": score,
        "test_accuracy": 100 * float(answers["test"].right.mean()),
    }
    found: OfProbe = {
        "method": probe.method.name,
        "method_fields": probe.method.describe(),
        "num_prompts": 0,
        "trainable_parameters": trained,
        "total_parameters": total,
        "best_epoch": 0,
        "val_accuracy": 100 * float(probed["val"].right.mean()),
        "instead_of": instead,
    }
    if probe.protocol.metric != "top1":
        found["val_score"] = other
    assert model.metrics is not None
    probe.metrics = model.metrics | {"val_accuracy": found["val_accuracy"]}
    return found


def cheaper(
    features: Sequence[Features], probe: Any, plain: PromptedModel | None = None, metric: Metric = "top1"
) -> dict[str, NDArray[Any]]:
    """What a linear probe and nearest neighbours answer for the test examples, and what needs no training at all.

    Args:
        features: Of training, validation and test examples (see `plain_features`).
        probe: A `linear_probe` of the first two.
        plain: A model's `zero_shot`, where there is one.
        metric: What runs are ranked by, and rivals, too.

    Returns:
        Classes (N,), or where examples have several labels each class's probability (N, C), by the rival's name.
    """
    train, val, test = features
    with stage("probe", len(train)) as advance:
        neighbours, count = nearest(train, val, test, metric)
        found = {
            PROBE: answered(probe, test),
            "nearest neighbour" if count == 1 else f"{count} nearest neighbours": neighbours,
        }
        if plain is not None:
            found["zero-shot classifier"] = zero_shot_answers(plain, test)
        advance(len(train), "")
    return found


def verdicts(
    tested: Answers, rivals: Mapping[str, NDArray[Any]], inputs: Kind, metric: Metric = "top1", own: str = PROMPTS
) -> list[Verdict]:
    """A model held against rivals.

    Args:
        tested: The model's answers for the test examples.
        rivals: See `cheaper`.
        inputs: What they are.
        metric: What runs are ranked by.
        own: What the model is called.
    """
    if tested.labels.ndim == 2:
        mine = tested.probabilities, tested.labels
        return [verdict_by("map", mine[0], given, mine[1], name, inputs, own) for name, given in rivals.items()]
    found = []
    for name, classes in rivals.items():
        one = verdict(tested.right, classes == tested.labels, name, inputs, own)
        if metric != "top1":
            given = shares(classes, tested.probabilities.shape[1])
            one |= verdict_by(metric, tested.probabilities, given, tested.labels, name, inputs, own)
        found.append(one)
    return found
