"""The files that a run writes beside its adapter."""

from __future__ import annotations

import csv
import io
import json
import resource
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from selfprompt.adapters import replace_file
from selfprompt.prompts.base import Insertion


def write_logs(folder: Path, history: list[dict[str, float]]) -> None:
    """log.jsonl and log.csv, a row for each finished epoch."""
    lines = "".join(json.dumps(row) + "\n" for row in history)
    replace_file(folder / "log.jsonl", lines.encode())
    table = io.StringIO()
    if history:
        writer = csv.DictWriter(table, fieldnames=list(history[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(history)
    replace_file(folder / "log.csv", table.getvalue().encode())


def write_prompts(folder: Path, epoch: int, insertion: Insertion) -> None:
    """prompts/epoch-EPOCH.safetensors, the (layers, P, D) prompts after an epoch; epoch 0 is their start.

    Beside them stands what they meet the tokens with: masks, gates, keys and values. A start begins the record anew.
    """
    (folder / "prompts").mkdir(parents=True, exist_ok=True)
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
    replace_file(folder / "predictions.csv", table.getvalue().encode("utf-8", "backslashreplace"))


def write_metrics(folder: Path, metrics: dict[str, Any]) -> None:
    """metrics.json."""
    replace_file(folder / "metrics.json", (json.dumps(metrics, indent=2) + "\n").encode())


def peak_memory(device: torch.device) -> int:
    """The most memory that was in use, in bytes: of the accelerator, or of the process on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
