"""A look at a run's own data, from what the run has at hand: decoded examples and frozen features."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from selfprompt.data.batches import Decoded, Features
from selfprompt.data.cells import joined
from selfprompt.data.checks.doubles import SIDE
from selfprompt.data.checks.findings import SEVERAL, Findings, Item
from selfprompt.data.checks.look import look_at_labels, look_for_doubles, numbered
from selfprompt.data.datasets import Splits
from selfprompt.data.recorded import image_names
from selfprompt.data.text_problems import labels_of

COMPARED = 10_000
"""Examples, above which a run does not look for doubles: their pairs would take seconds."""
JUDGED = 10**7
"""Examples times features times classes, above which it does not judge labels."""


def look_at_data(
    splits: Splits, parts: Mapping[str, Decoded], features: Sequence[Features], backbone: str
) -> Findings:
    """Doubles among all parts, and labels to train or select on that look wrong; what would take long is left out.

    Pictures are compared as the model sees them.

    Args:
        splits: The run's.
        parts: Training, validation and test examples, not augmented.
        features: Of each part.
        backbone: Whose they are.
    """
    classes = list(splits.class_names)
    items = [
        Item(split=name, name=where, label=joined(label))
        for name, part in parts.items()
        for where, label in zip(image_names(splits, name), labels_of(part.examples, classes))
    ]
    found, fix = Findings(), "selfprompt doctor DATA does"
    if len(items) > COMPARED:
        found = Findings(left_out=[f"doubles: {len(items):,} examples are many for a run; {fix}"])
    elif any(part.kept is None for part in parts.values()):
        found = Findings(left_out=[f"doubles: the examples are not kept in memory; {fix}"])
    else:
        pictures = [part.kept for part in parts.values() if isinstance(part.kept, Tensor)]
        keys: list[Hashable] = [text for part in parts.values() for text in part.examples.images]
        if pictures:
            keys = [hashlib.sha256(one.numpy().tobytes()).digest() for many in pictures for one in many]
        found = look_for_doubles(items, keys, [one for many in pictures for one in small(many)] or None)
    if splits.train.multi_label:
        return found.model_copy(update={"left_out": [*found.left_out, SEVERAL]})
    chosen = list(parts)[:2]
    rows = [part for name, part in zip(parts, features) if name in chosen]
    x, y = (torch.cat(parts).numpy() for parts in zip(*((part.features, part.labels) for part in rows)))
    if x.size * len(classes) > JUDGED:
        many = f"labels: {len(x):,} examples of {len(classes)} classes are many for a run; {fix}"
        return found.model_copy(update={"left_out": [*found.left_out, many]})
    groups = numbered([parts[name].examples.groups for name in chosen], [len(parts[name]) for name in chosen])
    return look_at_labels(found, items, classes, x, y, groups, backbone)


def small(images: Tensor) -> NDArray[np.uint8]:
    """(N, 3, H, W) uint8 to grey pictures made small, (N, `SIDE` * `SIDE`)."""
    weights = torch.tensor([0.299, 0.587, 0.114])[:, None, None]
    pieces = [F.adaptive_avg_pool2d((part * weights).sum(dim=1, keepdim=True), SIDE) for part in images.split(256)]
    return torch.cat(pieces).round().byte().flatten(1).numpy()
