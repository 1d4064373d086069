"""Low-rank adaptation, from outside the field."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any, ClassVar

from pydantic import Field

from selfprompt.backbones.base import Backbone, Pretraining
from selfprompt.errors import UserError
from selfprompt.methods.base import Method
from selfprompt.model import Trainable
from selfprompt.prompts.base import Insertion
from selfprompt.prompts.insertion.low_rank import LowRank
from selfprompt.recipe import Recipe
from selfprompt.registry import Record


class LoRA(Method):
    """Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", arXiv 2106.09685, as PEFT implements it.

    On the fused query, key and value projection of every block; a rank of 8 is what vision papers compare with. The
    recipe is ours.

    Args:
        rank: Rank of each update; its scale is alpha / rank = 1.

    Raises:
        UserError: PEFT is not installed.
    """

    name: ClassVar[str] = "lora"
    rank: int = Field(default=8, ge=1, le=2**16)

    def model_post_init(self, context: Any) -> None:
        """Say at once what is missing, not when the model is built."""
        if find_spec("peft") is None:
            raise UserError("Method lora needs PEFT: pip install 'selfprompt[peft]'.")

    def insertion(self, backbone: Backbone) -> Insertion:
        return LowRank(self.rank, float(self.rank))

    def initialization(self) -> None:
        return None

    def trainable(self) -> Trainable:
        return "prompts"

    def recipe(self, pretraining: Pretraining) -> Recipe:
        return Recipe(lr=1e-3, batch_size=64, weight_decay=1e-2, head_weight_decay=1e-2)


RECORD = Record(
    name="lora",
    kind="method",
    title="LoRA: Low-Rank Adaptation of Large Language Models",
    arxiv="2106.09685",
    year=2021,
    idea="No prompts: low-rank updates of the frozen projections, by PEFT; a baseline from outside.",
    supports=("extra: peft",),
    factory=LoRA,
)
