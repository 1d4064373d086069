"""Self-Prompt Tuning."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from selfprompt.backbones.base import Backbone, Pretraining
from selfprompt.methods.base import Method, Readout, vpt_insertion
from selfprompt.model import Trainable
from selfprompt.prompts.base import Insertion
from selfprompt.prompts.initialization.prototypes import Kind, Prototypes
from selfprompt.recipe import Recipe
from selfprompt.registry import Record


class SPT(Method):
    """Wang et al., "Revisiting the Power of Prompt for Visual Tuning", ICML 2024, arXiv 2402.02382.

    Forward pass and parameters are VPT's; the prompts start as prototypes of the task's own patch tokens.

    Args:
        num_prompts: Prompts P of each block (20 in the paper's deep runs; it uses 100 in shallow ones).
        shallow: Prompts at the input only.
        prototypes: ``random`` (the published commands), ``mean``, ``max`` or ``kmeans``.
        prototype_share: Share of the training images that prototypes are made from, at least one image (the
            official MoCo-v3 script's default is exactly one).
        prompt_rms: Scale each layer's prototypes to this root mean square. None, the default, leaves them as the
            paper does; they are then about 20 times larger than VPT's uniform prompts, and want a learning rate
            as much larger.
        prompt_dropout: None in the paper.
        frozen_prompts: Train the head only (the paper's Table 1, upper half).
        readout: ``mae_average`` is the official MAE code's: the final norm of the mean over prompts and patches.

    Recipes are the official commands: MAE (CUB) and supervised (Dogs). None is published for MoCo-v3, DINO and
    CLIP; MoCo-v3 uses MAE's, as it is self-supervised, and the others the supervised one. Differences: the best
    epoch is chosen on validation images, not on the test set; no moving average of the weights is kept (the
    official code saves one but never evaluates it); drop-path is off, as in the published commands.
    """

    name: ClassVar[str] = "spt"
    num_prompts: int = Field(default=20, ge=1)
    shallow: bool = False
    prototypes: Kind = "random"
    prototype_share: float = Field(default=1.0, gt=0, le=1)
    prompt_rms: float | None = Field(default=None, gt=0)
    prompt_dropout: float = Field(default=0.0, ge=0, lt=1)
    frozen_prompts: bool = False
    readout: Readout = "backbone"

    def insertion(self, backbone: Backbone) -> Insertion:
        return vpt_insertion(
            backbone,
            shallow=self.shallow,
            num_prompts=self.num_prompts,
            dropout=self.prompt_dropout,
            readout=self.readout,
        )

    def initialization(self) -> Prototypes:
        return Prototypes(self.prototypes)

    def trainable(self) -> Trainable:
        return "head" if self.frozen_prompts else "prompts"

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
