"""Accuracy of a saved adapter, and of trained prompts on classes that they never saw."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any, Literal, NamedTuple, NotRequired, get_args

from torch import Tensor
from typing_extensions import TypedDict

from selfprompt.adaptations import make_adaptation
from selfprompt.adaptations.base import Adaptation
from selfprompt.assembly import load
from selfprompt.backbones.base import Backbone
from selfprompt.backbones.clip import DualEncoder
from selfprompt.backbones.load import BackboneSource
from selfprompt.data.batches import Decoded, Viewed
from selfprompt.data.datasets import Dataset, Splits, among
from selfprompt.data.examples import Examples
from selfprompt.data.protocol import Classes
from selfprompt.data.recorded import SPLITS, splits_for
from selfprompt.data.sources import load_dataset
from selfprompt.data.splits import half
from selfprompt.data.tables import Kind
from selfprompt.errors import UserError, unknown
from selfprompt.model import PromptedModel
from selfprompt.runs.columns import as_read
from selfprompt.runs.outcome import scored
from selfprompt.runs.zero_shot import zero_shot
from selfprompt.scores.classes import Scores
from selfprompt.scores.intervals import paired_difference
from selfprompt.scores.several import LabelScores
from selfprompt.tuning.answers import Answers
from selfprompt.tuning.engine import Engine
from selfprompt.tuning.evaluation import probabilities
from selfprompt.tuning.records import NewClasses

Split = Literal["train", "val", "test"]
Asked = Literal["all", "base", "new", "base,new"]


class Unadapted(TypedDict):
    """Accuracy in percent of the same answers without an adaptation, by how many points it is better with it, and the
    ends of that difference's paired 95 % interval (see `paired_difference`)."""

    accuracy: float
    difference: float
    interval: list[float]


class Evaluation(TypedDict):
    """Accuracy in percent and mean cross-entropy on the one split that was asked for; ``adapted`` says by what.

    ``images`` counts what was classified, ``inputs`` says what that is. Where both halves of the classes were asked
    for, there is an accuracy of each and their harmonic mean, no other. The loss knows no temperature. Where an image
    may have several labels, those that are given, at each class's threshold, must be all of its own.
    """

    adapter: str
    dataset: str
    split: str
    images: int
    inputs: Kind
    train_accuracy: NotRequired[float]
    val_accuracy: NotRequired[float]
    test_accuracy: NotRequired[float]
    train_loss: NotRequired[float]
    val_loss: NotRequired[float]
    test_loss: NotRequired[float]
    scores: NotRequired[Scores | LabelScores]
    temperature: NotRequired[float]
    protocol: str
    precision: str
    classes: NotRequired[str]
    base_accuracy: NotRequired[float]
    new_accuracy: NotRequired[float]
    harmonic_mean: NotRequired[float]
    adapted: NotRequired[Any]
    unadapted: NotRequired[Unadapted]


class Evaluated(NamedTuple):
    """An evaluation, with the answers and examples of each choice of classes."""

    evaluation: Evaluation
    answers: list[Answers]
    examples: list[Examples]


def evaluate(
    adapter: str | Path,
    data: str,
    *,
    split: Split = "test",
    classes: Asked | None = None,
    backbone: BackboneSource | None = None,
    adapt: str | Adaptation | None = None,
) -> Evaluation:
    """Accuracy of a saved adapter on a data set, under the protocol that the adapter was trained with.

    Args:
        adapter: Its folder or hub repository.
        data: What `load_dataset` takes; its classes must be among the adapter's, unless ``classes`` are named. A
            table's columns are the run's own, where it has them and names no others.
        split: ``test``, ``val`` or ``train``, as the adapter's run recorded it; where it did not, cut as in training.
            Of data that the run never saw all is the test split, unless they have one.
        classes: Of the data: ``all``, the first half (``base``), the second (``new``), or ``base,new``, each half by
            itself, and their harmonic mean. An adapter of an image-text model answers for whichever these are, by
            their names. Left open, those that it was trained on.
        backbone: The backbone, if it is no longer where it was.
        adapt: What is done for each image by itself, such as ``tpt`` or ``tpt:views=32`` (see `list_adaptations`).

    Raises:
        UserError: There is no such split or adaptation, the classes differ and the adapter's head knows no others,
            the adapter or data cannot be loaded, or the adaptation does not suit the adapter.
    """
    return evaluated(adapter, data, split, classes, backbone, adapt).evaluation


def evaluated(
    adapter: str | Path,
    data: str,
    split: Split = "test",
    classes: Asked | None = None,
    backbone: BackboneSource | None = None,
    adapt: str | Adaptation | None = None,
    precision: str = "auto",
) -> Evaluated:
    """`evaluate`, with what it is of; ``precision`` is `Engine`'s."""
    if classes is not None and classes not in get_args(Asked):
        raise unknown("choice of classes", classes, get_args(Asked))
    if split not in SPLITS:
        raise unknown("split", split, SPLITS)
    adaptation = None if adapt is None else make_adaptation(adapt)
    model = load(adapter, backbone)
    dataset = load_dataset(as_read(data, adapter), model.protocol.inputs)
    own = model.class_names or []
    if classes is None and model.protocol.classes == "all" and set(dataset.class_names) <= set(own):
        dataset = among(dataset, own)
    if dataset.train.multi_label != model.multi_label:
        own, theirs = ("several", "one") if model.multi_label else ("one", "several")
        raise UserError(f"{adapter} gives {own} label(s) an example, and {data} has {theirs}: give data of its kind.")
    asked: list[Classes] = [model.protocol.classes] if classes is None else classes.split(",")  # type: ignore[assignment]
    models = [answering(model, dataset, which, adapter, data, classes is not None) for which in asked]
    others = {"shots": None, "val_shots": None} if split == "test" else {}  # which no test image depends on
    whole = model.protocol.model_copy(update={"classes": "all", **others})
    splits = splits_for(dataset, whole, Path(adapter), whole=False, seed=model.seed)
    parts = [getattr(splits.of(which), split) for which in asked]
    if not all(len(part) for part in parts):
        raise UserError(f"{data} has none of the {split} images of the run in {adapter}: restore them.")
    engine = Engine(precision)
    told = [answered(own, part, engine, adaptation) for own, part in zip(models, parts)]
    measured = [described(own, *one, split) for own, one in zip(models, told)]
    found: dict[str, Any] = {}
    accuracies = [own[f"{split}_accuracy"] for own in measured]
    if len(asked) == 1:
        found |= measured[0]
    if classes is not None:
        found |= {"classes": classes}
        found |= {f"{which}_accuracy": own for which, own in zip(asked, accuracies) if which != "all"}
    if len(asked) == 2:
        found["harmonic_mean"] = statistics.harmonic_mean(accuracies)
    if adaptation is not None:
        found["adapted"] = adaptation.describe()
    if adaptation is not None and len(asked) == 1:
        plain = answered(models[0], parts[0], engine)[0].right
        difference, low, high = (100 * value for value in paired_difference(told[0][0].right, plain))
        interval = {"difference": difference, "interval": [low, high]}
        found["unadapted"] = Unadapted(accuracy=100 * float(plain.mean()), **interval)
    evaluation = Evaluation(
        adapter=str(adapter),
        dataset=dataset.name,
        split=split,
        images=sum(map(len, parts)),
        inputs=model.protocol.inputs,
        **found,
        protocol=model.protocol.hash,
        precision=engine.precision,
    )
    return Evaluated(evaluation, [answers for answers, _ in told], parts)


def answering(
    model: PromptedModel, dataset: Dataset, which: Classes, adapter: str | Path, data: str, named: bool
) -> PromptedModel:
    """A model that answers for some classes of a data set, which differ from its own only where they are named.

    Raises:
        UserError: They differ and are not named, or its head knows no others.
    """
    names = [dataset.class_names[i] for i in half(dataset.num_classes, which)]
    if names == model.class_names or (model.class_names is None and which == model.protocol.classes):
        return model
    if not named:
        odd = sorted(set(names) ^ set(model.class_names or ())) or ["their order"]
        raise UserError(f"{data} has other classes than {adapter}: {odd[0]} differs.")
    return model.for_classes(names)


def answered(
    model: PromptedModel, examples: Examples, engine: Engine, adaptation: Adaptation | None = None
) -> tuple[Answers, Tensor]:
    """A model's answers for some images, and the cross-entropy (N,) of each."""
    engine.place(model)
    if adaptation is None:
        network, images, size = model, Decoded(examples, model.protocol), 64
    else:
        network, images = adaptation.adapted(model), Viewed(examples, model.protocol, adaptation.variation)
        size = adaptation.batch_size
    with network.folded(), engine.computing(model):
        found, losses = probabilities(network, images, engine, size, model.num_classes)
    return Answers(found.numpy(), examples.known_labels, (), model.thresholds), losses


def new_classes(
    model: PromptedModel, backbone: Backbone | DualEncoder, new: Splits, accuracy: float, engine: Engine
) -> NewClasses:
    """The test images of classes that a model was not trained on, by the names of these alone.

    Args:
        model: The trained one.
        backbone: That it was built on.
        new: The splits of those classes.
        accuracy: The model's on the classes that it was trained on, in percent.
        engine: Where to compute.
    """
    own = model.for_classes(new.class_names)
    models = own, zero_shot(own, backbone, engine)
    right, plain = (100 * float(answered(one, new.test, engine)[0].right.mean()) for one in models)
    return {
        "images": len(new.test),
        "accuracy": right,
        "harmonic_mean": statistics.harmonic_mean((accuracy, right)),
        "zero_shot_accuracy": plain,
    }


def described(model: PromptedModel, answers: Answers, losses: Tensor, split: Split) -> dict[str, Any]:
    """Accuracy in percent and mean cross-entropy of a model's answers, and what else is said of them."""
    temperature = None if model.calibration is None else model.temperature
    names = model.class_names or [str(i) for i in range(model.num_classes)]
    return {
        f"{split}_accuracy": 100 * int(answers.right.sum()) / len(losses),
        f"{split}_loss": losses.mean().item(),
        "scores": scored(answers, names, temperature),
        **({} if temperature is None else {"temperature": temperature}),
    }
