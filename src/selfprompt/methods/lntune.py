"""Layer norm tuning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from torch import nn

from selfprompt.backbones.info import Pretraining
from selfprompt.methods.base import Trainable, WithoutPrompts
from selfprompt.methods.recipe import Recipe
from selfprompt.registry import Record


class LNTune(WithoutPrompts):
    """Basu et al., "Strong Baselines for Parameter-Efficient Few-Shot Fine-Tuning", AAAI 2024, arXiv 2304.01917.

    LN-Tune: scale and shift of the backbone's layer norms are trained, with the head. The paper adapts to few-shot
    episodes and classifies by class means; here the head is linear, as with every method. The recipe is ours.
    """

    name: ClassVar[str] = "lntune"
    rates: ClassVar[Mapping[str, float]] = {"mini": 1e-2}

    def trainable(self) -> Trainable:
        return "backbone"

    def trains(self, layer: nn.Module, name: str) -> bool:
        return isinstance(layer, nn.LayerNorm)

    def recipe(self, pretraining: Pretraining) -> Recipe:
        return Recipe(lr=1e-3, batch_size=64, weight_decay=0.0, head_weight_decay=1e-2)


RECORD = Record(
    name="lntune",
    paper="lntune2024",
    idea="Only scale and shift of the backbone's layer norms are trained.",
    entry="LNTune",
)
