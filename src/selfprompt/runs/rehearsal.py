"""A run on a few of its examples, and what each of its stages then takes with all of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import ceil

import numpy as np

from selfprompt.data.batches import fits
from selfprompt.data.datasets import Dataset, Splits, whole_splits
from selfprompt.methods.base import PromptMethod
from selfprompt.runs.config import RunConfig
from selfprompt.runs.timer import Timer
from selfprompt.tuning.loop import SNAPSHOTS

FEW, BATCHES, EPOCHS = 64, 4, 2  # examples of a split, batches to train on, epochs
SPLITS = ("train", "val", "test")

Counts = Mapping[str, int]
"""Examples by split."""


def rehearsal(config: RunConfig) -> RunConfig:
    """A configuration as it is run on the few examples that `sampled` leaves."""
    changes = {"epochs": min(EPOCHS, config.recipe.epochs), "patience": None}
    uncut = {"train_images": None, "shots": None, "val_shots": None}
    update = {
        "method": config.method.rehearsed(),
        "recipe": config.recipe.model_copy(update=changes),
        "protocol": config.protocol.model_copy(update=uncut),
        "trackers": (),
        "or_probe": False,
    }
    return config.model_copy(update=update)


def sampled(dataset: Dataset, config: RunConfig) -> tuple[Dataset, Counts, Counts]:
    """A few examples of each of a run's splits, spread over its classes; how many there are, and how many these."""
    whole = whole_splits(dataset, config.protocol, config.seed)
    splits = whole.of(config.protocol.classes)
    wanted = dict.fromkeys(SPLITS, FEW) | {"train": max(FEW, BATCHES * config.recipe.batch_size)}
    rows = {name: spread(splits, name, wanted[name]) for name in SPLITS}
    taken = {name: getattr(whole, name).take(rows[name]) for name in SPLITS}
    counts = {name: len(getattr(splits, name)) for name in SPLITS}
    return replace(dataset, **taken), counts, {name: len(rows[name]) for name in SPLITS}


def spread(splits: Splits, name: str, wanted: int) -> np.ndarray:
    """Up to so many indices of a split, of all classes, that are spread over those of the run."""
    labels = getattr(splits, name).known_labels
    if labels.ndim == 2:  # of several labels, the rarest tells examples apart
        labels = np.where(labels, labels.sum(axis=0), len(labels) + 1).argmin(axis=1)
    order = np.argsort(labels, kind="stable")
    places = np.linspace(0, len(order) - 1, min(len(order), wanted)).round().astype(int)
    rows = np.sort(order[places])
    return splits.kept[name][rows] if splits.kept else rows


def scaled(
    timer: Timer, config: RunConfig, counts: Counts, few: Counts, epochs: int, steps: int
) -> dict[tuple[bool, str], float]:
    """Seconds of each stage with all examples, by whether it comes after training.

    Args:
        timer: Of the rehearsal.
        config: The run's.
        counts, few: Examples of the run, and of the rehearsal.
        epochs, steps: Of the run's training, and of one epoch.
    """
    method, val = config.method, 0 if config.whole else counts["val"]
    share = method.prototype_share if isinstance(method, PromptMethod) else 1.0
    kept = [name for name in SPLITS if stays(config, name, counts[name])]
    stages = method.stages(config.recipe)
    longest = max((stage.epochs for stage in stages), default=0)

    def grown(*names: str) -> float:
        return sum(counts[name] for name in names) / max(1, sum(few[name] for name in names))

    trained = grown("train", "val") if config.whole else grown("train")
    growth = {
        (False, "decoding"): grown(*kept),
        (False, "prototypes"): share * trained,
        (False, "features"): grown("train", "val"),
        (True, "features"): grown(*SPLITS),
        (True, "test"): grown("test") if config.whole else grown("val", "test"),
    }
    found = {}
    for (tested, name), (rate, each) in timer.known.items():
        begun = timer.spent[tested, name]
        units = sum(count for one in begun for count, _ in one.ticks) * growth.get((tested, name), trained)
        times = len(begun)
        if name == "training":
            units, times = epochs * steps, epochs
        elif name == "validation":
            times = max(1, epochs)
            units = times * val
        elif name == "prompts by epoch":
            units = 1 + ceil(longest / max(1, ceil(longest / SNAPSHOTS)))
        found[tested, name] = rate * units + each * times
    return found


def stays(config: RunConfig, name: str, count: int) -> bool:
    """Whether a split's examples are decoded once and kept."""
    if config.protocol.inputs == "text":
        return True
    view = config.protocol.view()
    return fits(view, count) and not (name == "train" and view.augments)


def size(config: RunConfig, counts: Counts) -> int:
    """Bytes of the decoded images that are kept."""
    if config.protocol.inputs == "text":
        return 0
    return config.protocol.view().size(sum(counts[name] for name in SPLITS if stays(config, name, counts[name])))
