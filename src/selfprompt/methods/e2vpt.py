"""Effective and efficient visual prompt tuning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field

from selfprompt.backbones.base import Backbone
from selfprompt.backbones.info import Pretraining
from selfprompt.errors import UserError
from selfprompt.methods.base import PromptMethod
from selfprompt.methods.recipe import VPT_GRID, Grid, Recipe, vpt_recipe
from selfprompt.prompts.condensation.base import Condensation
from selfprompt.prompts.condensation.mask_pruning import MaskPruning
from selfprompt.prompts.initialization.base import Initialization
from selfprompt.prompts.initialization.uniform import Uniform
from selfprompt.prompts.insertion.base import Insertion
from selfprompt.prompts.insertion.key_value import KeyValue
from selfprompt.prompts.parametrization.masked import Masked
from selfprompt.registry import Record


class E2VPT(PromptMethod):
    """Han et al., "E2VPT: An Effective and Efficient Approach for Visual Prompt Tuning", ICCV 2023, 2307.13770.

    VPT-deep with trained keys and values in every head. The paper's documented counts without pruning are 10 prompts
    and 5 key-value prompts on most of VTAB, 5 and 5 on FGVC, with a ``prompt_dropout`` of 0.1 (here 0).

    ``prune_tokens`` and ``prune_segments`` are its two levels of pruning, with a second training from a fresh start
    (see `MaskPruning`); the paper searches both for every task, at 81 trainings. The default, 0, is its form without.

    Args:
        num_key_values: Keys and values of each head and block.
        prune_tokens: Share of the prompts that are masked after a first training.
        prune_segments: Share of each prompt's 16 segments that are masked.
        importance: ``abs``, or ``signed`` as in the published code.
    """

    name: ClassVar[str] = "e2vpt"
    paper_start: ClassVar[Initialization] = Uniform()
    grid: ClassVar[Grid | None] = VPT_GRID
    rates: ClassVar[Mapping[str, float]] = {"embedded": 3.2e-1, "mini": 1e-1}
    num_key_values: int = Field(default=5, ge=0, le=2**16)
    prune_tokens: float = Field(default=0.0, ge=0, lt=1)
    prune_segments: float = Field(default=0.0, ge=0, lt=1)
    importance: Literal["abs", "signed"] = "abs"

    def pruning(self) -> Condensation | None:
        if not self.prunes():
            return None
        return MaskPruning(self.prune_tokens, self.prune_segments, self.importance)

    def prunes(self) -> bool:
        """Whether its masks are in use."""
        return self.prune_tokens > 0 or self.prune_segments > 0

    def insertion(self, backbone: Backbone) -> Insertion:
        if self.prunes() and self.keep < 1:
            raise UserError("Method e2vpt is pruned (prune_tokens, prune_segments) or condensed (keep), not both.")
        return KeyValue(
            backbone.depth,
            self.count,
            backbone.width,
            heads=backbone.num_heads,
            head_width=backbone.head_width,
            num_key_values=self.num_key_values,
            dropout=self.prompt_dropout,
            keep_outputs=self.averages,
            parametrization=Masked(self.count, backbone.width) if self.prunes() else None,
        )

    def recipe(self, pretraining: Pretraining) -> Recipe:
        return vpt_recipe()


RECORD = Record(
    name="e2vpt",
    paper="e2vpt2023",
    idea="Deep prompts with trained keys and values beside them in every head; prompts and segments can be pruned.",
    entry="E2VPT",
)
