"""The files that a run writes beside its adapter."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict
from safetensors.torch import save
from torch import Tensor

from selfprompt.errors import UserError
from selfprompt.files import checked, read_json, read_text, replace_file
from selfprompt.prompts.insertion.base import Insertion


def write_logs(folder: Path, history: list[dict[str, float]]) -> None:
    """log.jsonl and log.csv, a row for each finished epoch."""
    lines = "".join(json.dumps(row) + "\n" for row in history)
    replace_file(folder / "log.jsonl", lines)
    table = io.StringIO()
    if history:
        writer = csv.DictWriter(table, fieldnames=list(history[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(history)
    replace_file(folder / "log.csv", table.getvalue())


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
) -> None:
    """predictions.csv, a row for each test image in its order: the image's name, and those of classes."""
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["image", "label", "predicted", "probability"])
    rows = zip(images, labels.tolist(), predicted.int().tolist(), probability.tolist())
    for image, label, guess, sure in rows:
        writer.writerow([image, names[label], names[guess], f"{sure:.4f}"])
    replace_file(folder / "predictions.csv", table.getvalue())


class Metrics(BaseModel):
    """What is read again of metrics.json; it holds more."""

    model_config = ConfigDict(extra="allow", strict=True)

    method: str
    dataset: str
    protocol: str
    seed: int
    trainable_parameters: int
    total_parameters: int
    best_epoch: int
    val_accuracy: float | None
    test_accuracy: float | None
    seconds: float
    waiting_share: float
    peak_memory_bytes: int
    precision: str
    processes: int
    recipe: dict[str, Any]
    method_fields: dict[str, Any]


class Tested(Metrics):
    """That of a run which was tested."""

    test_accuracy: float
    test_images: int
    linear_probe_test_accuracy: float = 0.0


class Row(BaseModel):
    """What is read again of a row of log.jsonl."""

    model_config = ConfigDict(extra="allow", strict=True)

    epoch: int
    lr: float
    train_loss: float
    val_loss: float = 0.0
    val_accuracy: float = 0.0


def read_metrics(folder: Path, tested: bool = False) -> dict[str, Any]:
    """metrics.json of a finished run, or of a ``tested`` one.

    Raises:
        UserError: It is missing or damaged.
    """
    fix = f"remove it and go on with selfprompt tune --resume {folder}"
    path = folder / "metrics.json"
    found = read_json(path, fix)
    checked(found, Tested if tested else Metrics, path, fix)
    return found


def read_history(folder: Path) -> list[dict[str, float]]:
    """log.jsonl of a finished run.

    Raises:
        UserError: It is missing or damaged.
    """
    path, fix = folder / "log.jsonl", "restore it, or run again into another folder"
    rows = []
    for line in read_text(path, fix).splitlines():
        try:
            found = json.loads(line)
        except ValueError:
            raise UserError(f"{path} is damaged ({line[:40]!r} is no JSON): {fix}.") from None
        checked(found, Row, path, fix)
        rows.append(found)
    if not rows:
        raise UserError(f"{path} is damaged (it is empty): {fix}.")
    return rows


def write_metrics(folder: Path, metrics: dict[str, Any]) -> None:
    """metrics.json."""
    replace_file(folder / "metrics.json", json.dumps(metrics, indent=2) + "\n")
