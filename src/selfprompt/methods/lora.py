"""Low-rank adaptation, from outside the field."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field

from selfprompt.backbones.base import Backbone
from selfprompt.backbones.info import Pretraining
from selfprompt.errors import UserError
from selfprompt.methods.base import Trainable, WithoutPrompts
from selfprompt.methods.recipe import Recipe
from selfprompt.prompts.insertion.base import Insertion
from selfprompt.prompts.insertion.low_rank import LowRank
from selfprompt.registry import Record, installed


class LoRA(WithoutPrompts):
    """Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", arXiv 2106.09685, as PEFT implements it.

    On the fused query, key and value projection of every block; a rank of 8 is what vision papers compare with. The
    recipe is ours.

    Args:
        rank: Rank of each update; its scale is alpha / rank = 1.

    Raises:
        UserError: PEFT is not installed.
    """

    name: ClassVar[str] = "lora"
    rates: ClassVar[Mapping[str, float]] = {"embedded": 1e-2, "mini": 1e-2, "mini-text": 1e-2}
    rank: int = Field(default=8, ge=1, le=2**16)

    def model_post_init(self, context: Any) -> None:
        """Say at once what is missing, not when the model is built."""
        if not installed("peft"):
            raise UserError("Method lora needs PEFT: pip install 'selfprompt[peft]'.")

    def insertion(self, backbone: Backbone) -> Insertion:
        return LowRank(self.rank, float(self.rank))

    def trainable(self) -> Trainable:
        return "prompts"

    def recipe(self, pretraining: Pretraining) -> Recipe:
        return Recipe(lr=1e-3, batch_size=64, weight_decay=1e-2, head_weight_decay=1e-2)


RECORD = Record(
    name="lora",
    paper="lora2021",
    idea="No prompts: low-rank updates of the frozen projections, by PEFT; a baseline from outside.",
    extra="peft",
    entry="LoRA",
)
