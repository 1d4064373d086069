"""Bias tuning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from torch import nn

from selfprompt.backbones.info import Pretraining
from selfprompt.methods.base import Trainable, WithoutPrompts
from selfprompt.methods.recipe import Recipe
from selfprompt.registry import Record


class Bias(WithoutPrompts):
    """Zaken et al., "BitFit", arXiv 2106.10199: the backbone's bias terms and the head are trained.

    A backbone without biases has nothing to train and acts as a linear probe. The recipe is ours; VPT compares with
    bias tuning under its own per-task search.
    """

    name: ClassVar[str] = "bias"
    rates: ClassVar[Mapping[str, float]] = {"embedded": 1e-2, "mini": 1e-2}

    def trainable(self) -> Trainable:
        return "backbone"

    def trains(self, layer: nn.Module, name: str) -> bool:
        return name.endswith("bias")

    def recipe(self, pretraining: Pretraining) -> Recipe:
        return Recipe(lr=1e-3, batch_size=64, weight_decay=0.0, head_weight_decay=1e-2)


RECORD = Record(
    name="bias",
    paper="bitfit2021",
    idea="Only the backbone's biases are trained.",
    entry="Bias",
)
