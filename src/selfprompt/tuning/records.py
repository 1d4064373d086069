"""The files that a run writes beside its adapter."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, NotRequired, TypeVar, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, with_config
from safetensors.torch import save
from torch import Tensor
from typing_extensions import TypedDict

from selfprompt.data.tables import Kind
from selfprompt.errors import first_line
from selfprompt.files import checked, comma_separated, damaged, json_object, read_as, read_text, replace_file
from selfprompt.prompts.insertion.base import Insertion
from selfprompt.scores.asked import WORDS, Metric
from selfprompt.scores.classes import Scores
from selfprompt.scores.several import SEPARATOR, LabelScores, above
from selfprompt.scores.verdicts import Verdict
from selfprompt.tuning.answers import Answers

METRICS, PREDICTIONS = "metrics.json", "predictions.csv"
COLUMNS = ("label", "predicted", "probability")


def write_logs(folder: Path, history: list[dict[str, float]]) -> None:
    """log.jsonl and log.csv, a row for each finished epoch."""
    lines = "".join(json.dumps(row) + "\n" for row in history)
    replace_file(folder / "log.jsonl", lines)
    names = [list(row) for row in history[:1]]
    replace_file(folder / "log.csv", comma_separated([*names, *(row.values() for row in history)]))


def write_prompts(folder: Path, epoch: int, insertion: Insertion) -> None:
    """prompts/epoch-EPOCH.safetensors, the (layers, P, D) prompts after an epoch; epoch 0 is their start.

    Beside them stands what they meet the tokens with: masks, gates, keys and values. A start begins the record anew.
    """
    if epoch == 0:
        for old in (folder / "prompts").glob("epoch-*.safetensors"):
            old.unlink()
    state = {name: value.detach().cpu().contiguous() for name, value in insertion.state_dict().items()}
    replace_file(folder / "prompts" / f"epoch-{epoch:04}.safetensors", save(state))


def write_predictions(
    folder: Path,
    images: Sequence[str],
    names: Sequence[str],
    labels: Tensor,
    predicted: Tensor,
    probability: Tensor,
    inputs: Kind = "image",
) -> None:
    """predictions.csv, a row for each test image or text in its order: its name, or itself, and those of classes."""
    numbers = zip(images, labels.tolist(), predicted.int().tolist(), probability.tolist())
    rows = ([image, names[label], names[guess], f"{sure:.4f}"] for image, label, guess, sure in numbers)
    replace_file(folder / PREDICTIONS, comma_separated([(inputs, *COLUMNS), *rows]))


def write_labels(folder: Path, tested: Answers, names: Sequence[str], inputs: Kind) -> None:
    """predictions.csv where examples may have several labels: a row for each test example, with its labels, those
    given, and every class's probability."""
    head = (inputs, "labels", "predicted", *(f"probability_{name}" for name in names))
    given = above(tested.probabilities, tested.thresholds)

    def words(row: NDArray[np.bool_]) -> str:
        return SEPARATOR.join(name for name, own in zip(names, row) if own)

    rows = (
        [name, words(true), words(said), *(f"{value:.9g}" for value in values)]
        for name, true, said, values in zip(tested.names, tested.labels, given, tested.probabilities)
    )
    replace_file(folder / PREDICTIONS, comma_separated([head, *rows]))


def read_predictions(folder: Path, names: Sequence[str], labels: Sequence[int]) -> list[tuple[str, str, str, float]]:
    """predictions.csv of a finished run: each test image's name, its class, the predicted one and the probability.

    Args:
        folder: The run's.
        names: Of the classes.
        labels: Of the test images, in their order.

    Raises:
        UserError: It is damaged, or of other test images.
    """
    path, fix, known, found = folder / PREDICTIONS, "remove it", set(names), []
    try:
        rows = list(csv.reader(io.StringIO(read_text(path, fix), newline=""), strict=True))
        if not rows or (head := tuple(rows.pop(0)))[1:] != COLUMNS or head[0] not in get_args(Kind):
            raise ValueError(f"its first line is not image,{','.join(COLUMNS)}")
        if len(rows) != len(labels):
            raise ValueError(f"it has {len(rows)} images, the test {len(labels)}")
        for row, label in zip(rows, labels):
            fits = len(row) == 1 + len(COLUMNS) and row[1] == names[label] and row[2] in known
            if not (fits and 0 <= float(row[3]) <= 1):
                raise ValueError(f"{','.join(row)[:80]} is no row of it")
            found.append((*row[:3], float(row[3])))
    except (ValueError, csv.Error) as error:
        raise damaged(path, first_line(error), fix) from None
    return found


Count = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(ge=1)]
Amount = Annotated[float, Field(ge=0)]
Accuracy = Annotated[float, Field(ge=0, le=100)]


STRICT = ConfigDict(extra="allow", strict=True)


@with_config(STRICT)
class Kept(TypedDict):
    """What is read again of a recipe in metrics.json; it holds every field."""

    epochs: Positive
    weight_decay: Amount
    head_weight_decay: Amount


@with_config(STRICT)
class Measured(TypedDict):
    """What metrics.json holds of every run; accuracies in percent. ``best_epoch`` is 0 where nothing is trained;
    ``metric`` is the protocol's and ``val_score`` its value where it is not the accuracy."""

    method: str
    backbone: str
    dataset: str
    protocol: str
    seed: Count
    num_prompts: Count
    trainable_parameters: Count
    total_parameters: Positive
    precision: str
    processes: Positive
    recipe: Kept
    method_fields: dict[str, Any]
    best_epoch: Count
    val_accuracy: Accuracy | None
    metric: NotRequired[Metric]
    val_score: NotRequired[Accuracy | None]
    waiting_share: Annotated[float, Field(ge=0, le=1)]
    compile_seconds: NotRequired[Amount]
    peak_memory_bytes: Count
    epochs: NotRequired[Count]
    seconds: Amount


@with_config(STRICT)
class Metrics(Measured):
    """That of a run which may have seen no test image."""

    test_accuracy: Accuracy | None


class NewClasses(TypedDict):
    """Of test images whose classes were left out of training: accuracies in percent, and the harmonic mean with that
    on the classes that were not."""

    images: Positive
    accuracy: Accuracy
    harmonic_mean: Accuracy
    zero_shot_accuracy: Accuracy


class InsteadOf(TypedDict):
    """Prompts that were trained, and in whose place a linear probe is kept, as validation preferred it: by the
    protocol's metric, ``val_score`` in percent."""

    method: str
    val_score: Accuracy
    test_accuracy: Accuracy


class OfProbe(TypedDict):
    """What of `Tested` is the probe's, then."""

    method: str
    method_fields: dict[str, Any]
    num_prompts: Count
    trainable_parameters: Count
    total_parameters: Positive
    best_epoch: Count
    val_accuracy: Accuracy
    val_score: NotRequired[Accuracy]
    instead_of: InsteadOf


@with_config(STRICT)
class Tested(Measured):
    """That of a run which was tested; runs of before they were have no scores. ``uncalibrated`` says why there is no
    temperature, ``worth`` what cheaper answers there are, ``instead_of`` what was trained where a probe is kept."""

    test_accuracy: Accuracy
    test_images: Positive
    linear_probe_test_accuracy: NotRequired[Accuracy]
    scores: NotRequired[Scores | LabelScores]
    temperature: NotRequired[Annotated[float, Field(gt=0)]]
    uncalibrated: NotRequired[str]
    worth: NotRequired[list[Verdict]]
    new_classes: NotRequired[NewClasses]
    instead_of: NotRequired[InsteadOf]


def score_of(metrics: Tested) -> float:
    """The test's score by the protocol's metric, in percent."""
    metric = metrics.get("metric")
    scores: Any = metrics.get("scores")
    return metrics["test_accuracy"] if metric is None else scores[metric]


def choice(metrics: Tested) -> str | None:
    """That a probe is kept in the place of prompts, and why."""
    if (instead := metrics.get("instead_of")) is None:
        return None
    own = metrics.get("val_score") or metrics["val_accuracy"]
    what = WORDS[metrics["metric"]] if "metric" in metrics else "accuracy"
    return (
        f"the linear probe is kept: on validation its {what} is {own:.2f} %, "
        f"that of {instead['method']}'s prompts {instead['val_score']:.2f} %"
    )


def epoch_kept(metrics: Measured) -> str:
    """Which epoch was kept, of how many: a first training of the same prompts has epochs of its own before."""
    asked, every = metrics["recipe"]["epochs"], metrics.get("epochs", 0)
    before = f", the first training's {every - asked} among them" if every > asked else ""
    return f"{metrics['best_epoch']} of {every or asked}{before}"


M = TypeVar("M", Metrics, Tested)


class Row(BaseModel):
    """What is read again of a row of log.jsonl."""

    model_config = STRICT

    epoch: int
    lr: Amount
    train_loss: float


class Validated(Row):
    """That of a run with validation images."""

    val_loss: float
    val_accuracy: Accuracy


def read_metrics(folder: Path, kind: type[M]) -> M:
    """metrics.json of a finished run, as ``kind``: `Metrics`, or `Tested` of one that was tested.

    Raises:
        UserError: It is missing or damaged.
    """
    fix = f"remove it and resume with selfprompt tune --resume {folder}, or the comparison's own command"
    path = folder / METRICS
    found = read_as(path, kind, fix)
    if found["trainable_parameters"] > found["total_parameters"]:
        raise damaged(path, "it trains more parameters than there are", fix)
    return found


def read_history(folder: Path, metrics: Measured) -> list[dict[str, float]]:
    """log.jsonl of a finished run, with the epoch that its ``metrics`` name.

    Raises:
        UserError: It is missing or damaged.
    """
    path, fix = folder / "log.jsonl", "restore it, or run again into another folder"
    kind = Row if metrics["val_accuracy"] is None else Validated
    rows = []
    for line in read_text(path, fix).splitlines():
        found = json_object(line, path, fix)
        checked(found, kind, path, fix)
        rows.append(found)
    if [row["epoch"] for row in rows] != list(range(1, len(rows) + 1)) or len(rows) < metrics["best_epoch"]:
        raise damaged(path, "it lacks epochs", fix)
    return rows


def write_metrics(folder: Path, metrics: Measured) -> None:
    """metrics.json."""
    replace_file(folder / METRICS, json.dumps(metrics, indent=2) + "\n")
