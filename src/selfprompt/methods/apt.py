"""Approximated prompt tuning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field

from selfprompt.backbones.base import Backbone
from selfprompt.backbones.info import Pretraining
from selfprompt.methods.base import PromptMethod, Role
from selfprompt.methods.recipe import Recipe
from selfprompt.prompts.initialization.base import Initialization
from selfprompt.prompts.initialization.normal import Normal
from selfprompt.prompts.insertion.base import Insertion
from selfprompt.prompts.insertion.beside import Beside
from selfprompt.registry import Record


class APT(PromptMethod):
    """Wu et al., "Approximated Prompt Tuning for Vision-Language Pre-trained Models", arXiv 2306.15706.

    The paper tunes ViLT and METER, with 200 prompts a layer and a rank of 4; on a plain ViT there is one memory
    beside each attention; where a block has LayerScale (the paper's have none), that acts on its attention alone.
    The recipe is ViLT's with the cosine of all recipes here (the paper's falls linearly, over 10 epochs) and AdamW's
    usual betas (the paper's are .9 and .98). The official code drops scores out, where ``prompt_dropout`` drops
    prompts.

    Args:
        rank: Rank of the map from prompts to keys.
    """

    name: ClassVar[str] = "apt"
    paper_start: ClassVar[Initialization] = Normal()
    prompted: ClassVar[frozenset[Role]] = frozenset({"inputs", "classes"})
    rates: ClassVar[Mapping[str, float]] = {"mini": 1e-1, "mini-clip": 3e-3}
    rank: int = Field(default=4, ge=1)

    def insertion(self, backbone: Backbone) -> Insertion:
        return Beside(backbone.depth, self.count, backbone.width, rank=self.rank, dropout=self.prompt_dropout)

    def recipe(self, pretraining: Pretraining) -> Recipe:
        return Recipe(lr=5e-4, weight_decay=1e-2, head_weight_decay=1e-2)


RECORD = Record(
    name="apt",
    paper="apt2023",
    idea="Prompts act as a ReLU memory beside each attention, so that they never lengthen it.",
    entry="APT",
)
