"""Visual Fourier prompt tuning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field

from selfprompt.backbones.base import Backbone
from selfprompt.backbones.info import Pretraining
from selfprompt.methods.base import PromptMethod
from selfprompt.methods.recipe import VPT_GRID, Grid, Recipe, vpt_recipe
from selfprompt.prompts.initialization.base import Initialization
from selfprompt.prompts.initialization.uniform import Uniform
from selfprompt.prompts.insertion.base import Insertion
from selfprompt.prompts.parametrization.fourier import Fourier
from selfprompt.registry import Record


class VFPT(PromptMethod):
    """Zeng et al., "Visual Fourier Prompt Tuning", NeurIPS 2024, arXiv 2411.01327.

    VPT-deep of which a share of the prompts is seen through a Fourier transform. The paper chooses the share (0 to 1)
    and the number of prompts for every task, with a ``prompt_dropout`` of 0.1 (here 0). A share of 0 is VPT-deep.

    Args:
        fourier_share: Share of the prompts that are transformed.
    """

    name: ClassVar[str] = "vfpt"
    paper_start: ClassVar[Initialization] = Uniform()
    grid: ClassVar[Grid | None] = VPT_GRID
    rates: ClassVar[Mapping[str, float]] = {"embedded": 3.2e-2, "mini": 1e-1}
    fourier_share: float = Field(default=0.5, ge=0, le=1)

    def insertion(self, backbone: Backbone) -> Insertion:
        return self.deep(backbone, Fourier(self.fourier_share))

    def recipe(self, pretraining: Pretraining) -> Recipe:
        return vpt_recipe()


RECORD = Record(
    name="vfpt",
    paper="vfpt2024",
    idea="Deep prompts of which a share is seen through a Fourier transform.",
    entry="VFPT",
)
