"""Self-Prompt Tuning."""

from __future__ import annotations

from typing import ClassVar

from selfprompt.backbones.base import Pretraining
from selfprompt.methods.base import TokenPrompts
from selfprompt.prompts.base import Initialization
from selfprompt.prompts.initialization.prototypes import Kind, Prototypes
from selfprompt.recipe import Recipe
from selfprompt.registry import Record


class SPT(TokenPrompts):
    """Wang et al., "Revisiting the Power of Prompt for Visual Tuning", ICML 2024, arXiv 2402.02382.

    Forward pass and parameters are VPT's; the prompts start as prototypes of the task's own patch tokens.

    Args:
        prototypes: ``random`` (the published commands), ``mean``, ``max`` or ``kmeans``.

    The official MoCo-v3 script makes prototypes of exactly one image (``prototype_share``).

    The paper's deep runs have 20 prompts a block, its shallow ones 100 in all; there is no dropout, and prototypes
    are left at their scale, the default here, too: about 20 times VPT's, so that they want a learning rate as much
    larger, or ``prompt_rms``. ``frozen_prompts`` is the upper half of its Table 1.

    Recipes are the official commands: MAE (CUB) and supervised (Dogs). None is published for MoCo-v3, DINO and CLIP;
    MoCo-v3 uses MAE's, as it is self-supervised, and the others the supervised one. Differences: the best epoch is
    chosen on validation images, not on the test set; no moving average of the weights is kept (the official code
    saves one but never evaluates it); drop-path is off, as in the published commands; the readout is the backbone's
    own (the official MAE code's is ``readout="mae_average"``).
    """

    name: ClassVar[str] = "spt"
    prototypes: Kind = "random"  # type: ignore[assignment]

    def start(self) -> Initialization:
        return Prototypes(self.prototypes)

    def recipe(self, pretraining: Pretraining) -> Recipe:
        if pretraining in ("mae", "mocov3"):
            return Recipe(lr=5e-2, weight_decay=1e-2, head_weight_decay=0.5)
        return Recipe(lr=1e-3, weight_decay=1e-2, head_weight_decay=3.0)


RECORD = Record(
    name="spt",
    kind="method",
    title="Revisiting the Power of Prompt for Visual Tuning",
    arxiv="2402.02382",
    year=2024,
    idea="Prompts that start as prototypes of the task's own patch tokens.",
    supports=("shallow", "deep", "random", "mean", "max", "kmeans", "frozen prompts"),
    factory=SPT,
)
