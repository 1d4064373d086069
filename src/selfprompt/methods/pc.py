"""Prompt Condensation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field

from selfprompt.backbones.info import Pretraining
from selfprompt.methods.base import TokenPrompts
from selfprompt.methods.recipe import VPT_GRID, Grid, Recipe, vpt_recipe
from selfprompt.prompts.initialization.base import Initialization
from selfprompt.prompts.initialization.uniform import Uniform
from selfprompt.registry import Record


class PC(TokenPrompts):
    """Kim et al., "Do We Really Need a Large Number of Visual Prompts?", arXiv 2305.17223: a reconstruction.

    VPT-deep whose prompts are scored after two thirds of the epochs; the best 30 % of all layers together are kept
    and tuned for the last third. The paper's formula was not available: `Saliency` says what is ours, the shared
    epochs among it (the paper tunes again after a whole training). Every other
    method's prompts are condensed with the same field: ``create_model(..., "spt", keep=0.3)``.

    The recipe is VPT's (assumed).
    """

    name: ClassVar[str] = "pc"
    paper_start: ClassVar[Initialization] = Uniform()
    grid: ClassVar[Grid | None] = VPT_GRID
    rates: ClassVar[Mapping[str, float]] = {"embedded": 1e-1, "mini": 1e-1}
    keep: float = Field(default=0.3, gt=0, le=1)

    def recipe(self, pretraining: Pretraining) -> Recipe:
        return vpt_recipe()


RECORD = Record(
    name="pc",
    paper="pc2023",
    idea="Train, keep the prompts that matter over all layers, and tune these again; a reconstruction.",
    entry="PC",
)
