"""Benchmarks: tasks in groups, and the settings that they share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Suite:
    """Tasks in groups.

    Args:
        name: The name by which users ask for it.
        groups: Data sets by group.
        optional: Data sets that are taken where they are found on disk.
        backbone: The one that it is run with by default.
        protocol: Changes to the backbone's own protocol.
        recipe: Changes to every method's published recipe.
        fields: Fields of methods, for those that have them.
        rates: Where the search of each method's learning rate starts.
        trials: Points of each search.
    """

    name: str
    groups: dict[str, tuple[str, ...]]
    backbone: str
    optional: tuple[str, ...] = ()
    protocol: dict[str, Any] = field(default_factory=dict)
    recipe: dict[str, Any] = field(default_factory=dict)
    fields: dict[str, Any] = field(default_factory=dict)
    rates: dict[str, float] = field(default_factory=dict)
    trials: int = 5


MINI = Suite(
    name="mini",
    groups={
        "natural": ("mnist5k", "digits", "photos", "clipart"),
        "specialized": ("elpv/defect", "elpv/grade"),
        "structured": ("scenes/count", "scenes/distance", "scenes/orientation", "scenes/location"),
    },
    optional=("clipart",),
    backbone="builtin",
    protocol={"name": "mini", "train_images": 1000, "final": "train+val"},
    recipe={"epochs": 3, "batch_size": 16, "optimizer": "adamw", "weight_decay": 0.01, "head_weight_decay": 0.01},
    fields={"head_norm": "batch"},
    rates={"linear": 3e-2, "full": 1e-3, "bias": 1e-2, "lora": 1e-2}
    | dict.fromkeys(("vpt", "spt", "gatevpt", "cvpt", "e2vpt", "vfpt", "pc"), 1e-1),
    trials=3,
)
"""VTAB-1K's protocol in miniature, offline: 1,000 labelled images, 800 and 200 of them to choose the settings, all to
train the tested runs, to the last epoch. Three epochs of batch 16 are what two CPU cores can do in two hours; the
BatchNorm before the head and AdamW are for all methods alike."""

SUITES = {suite.name: suite for suite in (MINI,)}
