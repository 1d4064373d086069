"""Visual Prompt Tuning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from selfprompt.backbones.info import Pretraining
from selfprompt.methods.base import TokenPrompts
from selfprompt.methods.recipe import VPT_GRID, Grid, Recipe, vpt_recipe
from selfprompt.prompts.initialization.base import Initialization
from selfprompt.prompts.initialization.uniform import Uniform
from selfprompt.registry import Record


class VPT(TokenPrompts):
    """Jia et al., "Visual Prompt Tuning", ECCV 2022, arXiv 2203.12119.

    The paper searches the number of prompts in {1, 5, 10, 50, 100, 200} for every task; 20, and 100 for shallow ones,
    are what SPT compares with. Its deep runs have a ``prompt_dropout`` of 0.1; the default here is 0, because keys
    and values are then shared by the batch, and 0.1 must be asked for. The start is left at its own scale.

    The paper searches learning rate and weight decay for every task, with SGD; the default is its documented DMLab
    and EuroSAT run (base rate 1.0 times batch / 256, whatever the batch). Under MAE the feature is the mean over
    patches and prompts with a fresh norm, which is not trained. Differences: the rate is stepped at every iteration,
    so that the first epoch is not run at 0; the head starts at SPT's values, not at a bias of -4.6.
    """

    name: ClassVar[str] = "vpt"
    paper_start: ClassVar[Initialization] = Uniform()
    grid: ClassVar[Grid | None] = VPT_GRID
    rates: ClassVar[Mapping[str, float]] = {"embedded": 1e-1, "mini": 1e-1, "mini-clip": 4e-1}

    def recipe(self, pretraining: Pretraining) -> Recipe:
        return vpt_recipe()


RECORD = Record(
    name="vpt",
    paper="vpt2022",
    idea="A few tokens at the input or at every block are trained, from small random numbers.",
    compared=3,
    variants=("frozen_prompts=true",),
    entry="VPT",
)
