"""Visual Prompt Tuning."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from selfprompt.backbones.base import Backbone, Pretraining
from selfprompt.methods.base import Method, Readout, vpt_insertion
from selfprompt.model import Trainable
from selfprompt.prompts.base import Insertion
from selfprompt.prompts.initialization.uniform import Uniform
from selfprompt.recipe import Recipe
from selfprompt.registry import Record


class VPT(Method):
    """Jia et al., "Visual Prompt Tuning", ECCV 2022, arXiv 2203.12119.

    Args:
        num_prompts: Prompts P of each block. The paper searches {1, 5, 10, 50, 100, 200} for every task; 20 is what
            SPT compares with.
        shallow: Prompts at the input only.
        prompt_rms: Scale each layer's start to this root mean square; None, the default, is the paper's start.
        prompt_dropout: On each sample's copy of the prompts. The paper's deep runs use 0.1; None here is 0, because
            keys and values are then shared by the batch, and 0.1 must be asked for.
        frozen_prompts: Train the head only.
        readout: ``mae_average`` is the official MAE code's: the final norm of the mean over prompts and patches.

    The paper searches learning rate and weight decay for every task, with SGD; the default is its documented
    DMLab and EuroSAT run (base rate 1.0 times batch / 256). Differences: the rate is stepped at every iteration, so
    that the first epoch is not run at 0, and the head starts at SPT's values, not at a bias of -4.6.
    """

    name: ClassVar[str] = "vpt"
    num_prompts: int = Field(default=20, ge=1)
    shallow: bool = False
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

    def initialization(self) -> Uniform:
        return Uniform()

    def trainable(self) -> Trainable:
        return "head" if self.frozen_prompts else "prompts"

    def recipe(self, pretraining: Pretraining) -> Recipe:
        return Recipe(optimizer="sgd", lr=64 / 256, batch_size=64, weight_decay=1e-3, head_weight_decay=1e-3)


RECORD = Record(
    name="vpt",
    kind="method",
    title="Visual Prompt Tuning",
    arxiv="2203.12119",
    year=2022,
    idea="A few tokens at the input or at every block are trained, from small random numbers.",
    supports=("shallow", "deep", "frozen prompts"),
    factory=VPT,
)
