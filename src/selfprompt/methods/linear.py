"""The linear probe."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from selfprompt.backbones.info import Pretraining
from selfprompt.methods.base import Trainable, WithoutPrompts
from selfprompt.methods.recipe import HEAD_RATES, Recipe
from selfprompt.registry import Record


class Linear(WithoutPrompts):
    """A linear head on the frozen backbone, the baseline of every prompt-tuning paper.

    Features are computed once where the images are not augmented. MAE's own linear probing (arXiv 2111.06377, A.1)
    reads the class token and puts a BatchNorm without parameters before the classifier: ``readout="backbone"``,
    ``head_norm="batch"``; by default it reads what VPT's linear probe does, without one, as the other baselines here.
    The recipe is ours: prompt-tuning papers search the rate for every task.
    """

    name: ClassVar[str] = "linear"
    rates: ClassVar[Mapping[str, float]] = HEAD_RATES

    def head(self) -> Literal["linear"]:
        return "linear"

    def trainable(self) -> Trainable:
        return "head"

    def recipe(self, pretraining: Pretraining) -> Recipe:
        return Recipe(lr=1e-2, batch_size=64, weight_decay=0.0, head_weight_decay=1e-4)


RECORD = Record(
    name="linear",
    paper="mae2021",
    idea="A linear classifier on the frozen backbone's features: what prompts must beat.",
    compared=1,
    entry="Linear",
)
