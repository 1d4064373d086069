"""Self-Prompt Tuning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from selfprompt.backbones.info import Pretraining, Readout
from selfprompt.methods.base import TokenPrompts
from selfprompt.methods.recipe import Recipe
from selfprompt.prompts.initialization import Kind
from selfprompt.prompts.initialization.base import Initialization
from selfprompt.prompts.initialization.prototypes import Prototypes
from selfprompt.registry import Record


class SPT(TokenPrompts):
    """Wang et al., "Revisiting the Power of Prompt for Visual Tuning", ICML 2024, arXiv 2402.02382.

    Forward pass and parameters are VPT's; the prompts start as prototypes of the task's own patch tokens.

    Args:
        prototypes: ``random`` (the published commands), ``mean``, ``max`` or ``kmeans``.

    The official MoCo-v3 script makes prototypes of exactly one image (``prototype_share``).

    The paper's deep runs have 20 prompts a block, its shallow ones 100 in all; there is no dropout, and prototypes
    are left at their scale, the default here, too. That depends on data and block (2 to 16 times VPT's on the
    built-in backbone), so that they want a learning rate as much larger, or ``prompt_rms``. ``frozen_prompts`` is the
    upper half of its Table 1.

    Recipes are the official commands: MAE (CUB), and supervised (Dogs), which the official page gives for MoCo-v3,
    too, with a head that starts at half the deviation. None is published for DINO and CLIP, which use the supervised
    one. Under MAE the feature is the mean over patches and prompts, with the pretrained norm. Differences: the best
    epoch is chosen on validation images, not on the test set; no moving average of the weights is kept (the official
    code saves one but never evaluates it); drop-path is off, as in the published commands.
    """

    name: ClassVar[str] = "spt"
    paper_start: ClassVar[Initialization] = Prototypes("random")
    rates: ClassVar[Mapping[str, float]] = {"embedded": 3.2e-2, "mini": 1e-1, "mini-clip": 1e-1}
    prototypes: Kind | None = "random"

    def published_readout(self, pretraining: Pretraining) -> Readout:
        return "mae_average" if pretraining == "mae" else "backbone"

    def head_std(self, pretraining: Pretraining) -> float:
        return 0.01 if pretraining == "mocov3" else 0.02

    def recipe(self, pretraining: Pretraining) -> Recipe:
        if pretraining == "mae":
            return Recipe(lr=5e-2, weight_decay=1e-2, head_weight_decay=0.5)
        return Recipe(lr=1e-3, weight_decay=1e-2, head_weight_decay=3.0)


RECORD = Record(
    name="spt",
    paper="spt2024",
    idea="Prompts that start as prototypes of the task's own patch tokens.",
    compared=4,
    variants=("prompt_rms=0.1", "frozen_prompts=true"),
    entry="SPT",
)
