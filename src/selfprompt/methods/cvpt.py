"""Cross visual prompt tuning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from selfprompt.backbones.base import Backbone
from selfprompt.backbones.info import Pretraining
from selfprompt.methods.base import PromptMethod
from selfprompt.methods.recipe import Grid, Recipe
from selfprompt.prompts.initialization.base import Initialization
from selfprompt.prompts.initialization.xavier import Xavier
from selfprompt.prompts.insertion.base import Insertion
from selfprompt.prompts.insertion.cross_attention import CrossAttention
from selfprompt.registry import Record


class CVPT(PromptMethod):
    """Huang et al., "Cross Visual Prompt Tuning", ICCV 2025, arXiv 2408.14961.

    The published position, after self-attention. The grid holds the values of the shipped per-task settings; the
    paper's prompts are 1 to 200, its ``prompt_dropout`` 0.1 (here 0), its drop-path 0.1 (here off, the backbone stays
    in eval mode). The official code chooses the epoch (and the seed) on test data; here validation does.
    """

    name: ClassVar[str] = "cvpt"
    paper_start: ClassVar[Initialization] = Xavier()
    grid: ClassVar[Grid | None] = Grid((2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2), (1e-5, 5e-2))
    rates: ClassVar[Mapping[str, float]] = {"embedded": 1e-1, "mini": 1e-1}

    def insertion(self, backbone: Backbone) -> Insertion:
        return CrossAttention(backbone.depth, self.count, backbone.width, dropout=self.prompt_dropout)

    def recipe(self, pretraining: Pretraining) -> Recipe:
        return Recipe(lr=1e-3, weight_decay=5e-2, head_weight_decay=5e-2, min_lr=1e-5)


RECORD = Record(
    name="cvpt",
    paper="cvpt2025",
    idea="Prompts stay out of the sequence: tokens read them in a second attention with frozen shared weights.",
    entry="CVPT",
)
