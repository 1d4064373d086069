"""Full fine-tuning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from torch import nn

from selfprompt.backbones.info import Pretraining
from selfprompt.methods.base import Trainable, WithoutPrompts
from selfprompt.methods.recipe import Grid, Recipe
from selfprompt.registry import Record


class Full(WithoutPrompts):
    """All weights of the backbone are trained with the head.

    The backbone stays in eval mode (no dropout or drop-path, which most checkpoints set to 0 anyway). The grid is
    VPT's for full fine-tuning with AdamW (arXiv 2203.12119), whose rates are base rates times batch / 256; the recipe
    has the second of its four. Under MAE VPT's code trains its fresh norm's scale and
    shift, which are left to the head here.
    """

    name: ClassVar[str] = "full"
    grid: ClassVar[Grid | None] = Grid((1e-4, 5e-4, 1e-3, 5e-3), (0.0, 1e-4, 1e-3, 1e-2), base=True)
    rates: ClassVar[Mapping[str, float]] = {"embedded": 1e-3, "mini": 1e-3, "mini-text": 1e-3}

    def trainable(self) -> Trainable:
        return "backbone"

    def trains(self, layer: nn.Module, name: str) -> bool:
        return True

    def recipe(self, pretraining: Pretraining) -> Recipe:
        return Recipe(lr=5e-4 * 64 / 256, batch_size=64, weight_decay=1e-2, head_weight_decay=1e-2)


RECORD = Record(
    name="full",
    paper="vpt2022",
    idea="Every weight is trained: the cost that prompts avoid, and the accuracy they are held against.",
    compared=2,
    entry="Full",
)
