"""probabilities.safetensors: what a run answered for each validation and test example, without a temperature."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from selfprompt.errors import first_line
from selfprompt.files import damaged, in_order, replace_file
from selfprompt.scores.several import above, bounds_of

NAME, FIX = "probabilities.safetensors", "restore it, or run again into another folder"


@dataclass(frozen=True)
class Answers:
    """Those for the N examples of one split, in its order.

    Args:
        probabilities: (N, C) float32.
        labels: (N,) int64; or (N, C) booleans, where examples may have several.
        names: What the split's record calls the examples; texts are called by themselves.
        thresholds: Of several labels, with which probability each class is given; 0.5 where none were chosen.
    """

    probabilities: NDArray[np.float32]
    labels: NDArray[Any]
    names: Sequence[str]
    thresholds: Sequence[float] | None = None

    @property
    def predicted(self) -> NDArray[np.int64]:
        """(N,) the likeliest class of each."""
        return self.probabilities.argmax(axis=1)

    @property
    def right(self) -> NDArray[np.bool_]:
        """(N,) whether that is the example's own; of several labels, whether all given are its own, and no others."""
        if self.labels.ndim == 2:
            return (above(self.probabilities, self.thresholds) == self.labels).all(axis=1)
        return self.predicted == self.labels

    def undecided(self, within: float) -> int:
        """How many answers could be others, were probabilities a little less or more: those whose two likeliest
        classes, or a class and its threshold, are nearer than that."""
        if self.labels.ndim == 2:
            bounds = bounds_of(self.thresholds, self.probabilities.shape[1])
            return int((abs(self.probabilities - bounds) < within).any(axis=1).sum())
        second, first = np.partition(self.probabilities, -2, axis=1)[:, -2:].T
        return int((first - second < within).sum())


def write_answers(folder: Path, answers: Mapping[str, Answers]) -> None:
    """Tensors ``SPLIT`` and ``SPLIT.labels`` of each split, and its names as JSON in the file's metadata."""
    tensors: dict[str, np.ndarray] = {name: found.probabilities for name, found in answers.items()}
    tensors |= {f"{name}.labels": found.labels for name, found in answers.items()}
    names = {name: json.dumps(list(found.names)) for name, found in answers.items()}
    replace_file(folder / NAME, in_order(save(tensors, metadata=names)))


def read_answers(folder: Path) -> dict[str, Answers]:
    """The answers of a finished run, by split; empty for a run of before they were kept.

    Raises:
        UserError: The file is damaged.
    """
    path = folder / NAME
    if not path.exists():
        return {}
    found: dict[str, Answers] = {}
    try:
        with safe_open(path, framework="numpy") as file:
            for name, names in (file.metadata() or {}).items():
                one = Answers(file.get_tensor(name), file.get_tensor(f"{name}.labels"), json.loads(names))
                if one.probabilities.ndim != 2 or {len(one.names), len(one.labels)} != {len(one.probabilities)}:
                    raise ValueError(f"{name} has not one row for each example")
                found[name] = one
    except (SafetensorError, OSError, ValueError, TypeError) as error:
        raise damaged(path, first_line(error), FIX) from None
    return found
