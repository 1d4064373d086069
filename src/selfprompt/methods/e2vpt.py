"""Effective and efficient visual prompt tuning."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from selfprompt.backbones.base import Backbone, Pretraining
from selfprompt.errors import UserError
from selfprompt.methods.base import VPT_GRID, Grid, PromptMethod
from selfprompt.prompts.base import Insertion
from selfprompt.prompts.initialization.uniform import Uniform
from selfprompt.prompts.insertion.key_value import KeyValue
from selfprompt.recipe import Recipe
from selfprompt.registry import Record


class E2VPT(PromptMethod):
    """Han et al., "E2VPT: An Effective and Efficient Approach for Visual Prompt Tuning", ICCV 2023, 2307.13770.

    VPT-deep with trained keys and values in every head. The paper's documented counts without pruning are 10 prompts
    and 5 key-value prompts on most of VTAB, 5 and 5 on FGVC, with a ``prompt_dropout`` of 0.1 (here 0).

    Its pruning (signed gradients of token and segment masks, 81 retrainings a task) is not here: pruned prompts are
    multiplied by zero there and save parameters alone; ``keep`` takes prompts away as Prompt Condensation does.

    Args:
        num_key_values: Keys and values of each head and block.
    """

    name: ClassVar[str] = "e2vpt"
    grid: ClassVar[Grid] = VPT_GRID
    num_key_values: int = Field(default=5, ge=0)

    def insertion(self, backbone: Backbone) -> Insertion:
        if self.readout == "mae_average":
            raise UserError(
                "Method e2vpt reads the backbone's own feature; readout mae_average goes with vpt, spt and gatevpt."
            )
        return KeyValue(
            backbone.depth,
            self.num_prompts,
            backbone.width,
            heads=backbone.num_heads,
            num_key_values=self.num_key_values,
            dropout=self.prompt_dropout,
        )

    def start(self) -> Uniform:
        return Uniform()

    def recipe(self, pretraining: Pretraining) -> Recipe:
        return Recipe(optimizer="sgd", lr=64 / 256, batch_size=64, weight_decay=1e-3, head_weight_decay=1e-3)


RECORD = Record(
    name="e2vpt",
    kind="method",
    title="E2VPT: An Effective and Efficient Approach for Visual Prompt Tuning",
    arxiv="2307.13770",
    year=2023,
    idea="Deep prompts, and beside them trained keys and values in every head.",
    supports=("prototypes", "condensation", "frozen prompts"),
    factory=E2VPT,
)
