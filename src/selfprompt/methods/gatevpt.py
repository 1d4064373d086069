"""Gated prompt tuning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field

from selfprompt.backbones.base import Backbone
from selfprompt.backbones.info import Pretraining, Readout
from selfprompt.methods.base import PromptMethod
from selfprompt.methods.recipe import LARGEST, Grid, Recipe
from selfprompt.prompts.initialization.base import Initialization
from selfprompt.prompts.initialization.uniform import Uniform
from selfprompt.prompts.insertion.base import Insertion
from selfprompt.prompts.insertion.gated import Gated
from selfprompt.registry import Record


class GateVPT(PromptMethod):
    """Yoo et al., "Improving Visual Prompt Tuning for Self-supervised Vision Transformers", ICML 2023, 2306.05067.

    VPT-shallow with a gate and an attention temperature at every block. The paper has 100 prompts on FGVC and 1, 5,
    10 or 100 on VTAB, a ``prompt_dropout`` of 0.1 (here 0), and a gate start searched between 1 and 20.

    The recipe has one rate of its grid, where every task's is searched; rates are used as they are, whatever the
    batch. Under MAE the paper averages prompts into the feature with the pretrained norm. Differences: the rate is
    stepped at every iteration, not once an epoch, and the head starts at SPT's values.

    Args:
        gate_init: The gates start at sigmoid(-gate_init).
    """

    name: ClassVar[str] = "gatevpt"
    paper_start: ClassVar[Initialization] = Uniform()
    grid: ClassVar[Grid | None] = Grid((0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0), (0.0,))
    rates: ClassVar[Mapping[str, float]] = {"embedded": 1e-1, "mini": 1e-1}
    gate_init: float = Field(default=5.0, ge=-LARGEST, le=LARGEST)

    def insertion(self, backbone: Backbone) -> Insertion:
        return Gated(
            backbone.depth,
            self.count,
            backbone.width,
            gate_init=self.gate_init,
            dropout=self.prompt_dropout,
            keep_outputs=self.averages,
        )

    def published_readout(self, pretraining: Pretraining) -> Readout:
        return "mae_average" if pretraining == "mae" else "backbone"

    def recipe(self, pretraining: Pretraining) -> Recipe:
        return Recipe(optimizer="sgd", lr=0.25, batch_size=64, weight_decay=0.0, head_weight_decay=0.0)


RECORD = Record(
    name="gatevpt",
    paper="gatevpt2023",
    idea="Shallow prompts with a learnt gate and attention temperature at every block.",
    entry="GateVPT",
)
