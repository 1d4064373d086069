"""Meta-learned prompts."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from selfprompt.errors import UserError
from selfprompt.methods.ppt import PPT
from selfprompt.methods.recipe import Recipe
from selfprompt.methods.stages import Stage
from selfprompt.registry import Record
from selfprompt.rules.meta import Clustering, Meta


class MetaPT(PPT):
    """Huang, Qian and Yu, "Learning a Better Initialization for Soft Prompts via Meta-Learning", 2022, arXiv
    2205.12471: a reconstruction.

    PPT, whose first training (without ``start``) is by MAML: the examples are sorted into groups without their
    labels, and prompts are moved so that a step on one group's examples serves others of the same group (see
    `Meta`). The second (with ``start``) is PPT's.

    Neither the paper's body nor code of it was available. How the groups are made, their number, the examples of a
    task, both rates, and whether gradients are of the second order are ours: k-means of the frozen model's mean
    states, 16 groups, and after the public code of a related method (SUPMER) 4 tasks of 8 and 8 examples in a step,
    one inner step, both rates 0.1, the first order. Ten epochs, weight decay 0.01 as PPT; no clipping.

    Args:
        groups: Groups K of the examples.
        grouping: kmeans of their mean states; random groups are the control.
        inner_examples: Examples of an inner step, and as many others of the loss after it; a step has as many tasks
            as fit into the batch.
        inner_lr: Rate alpha of an inner step; at 0, training is PPT's on the latter half of the examples.
        inner_steps: Inner steps.
        meta_order: 1 leaves the inner step's own derivative out (FOMAML); 2 takes it in.
    """

    name: ClassVar[str] = "metapt"
    groups: int = Field(default=16, ge=1)
    grouping: Clustering = "kmeans"
    inner_examples: int = Field(default=8, ge=1)
    inner_lr: float = Field(default=0.1, ge=0)
    inner_steps: int = Field(default=1, ge=1)
    meta_order: int = Field(default=1, ge=1, le=2)

    def stages(self, recipe: Recipe) -> tuple[Stage, ...]:
        if self.start is not None:
            return super().stages(recipe)
        if self.subspace is not None:
            raise UserError("Meta-learned prompts are not confined to a subspace: leave subspace out, or add start.")
        if self.frozen_prompts:
            raise UserError("An inner step moves prompts: leave frozen_prompts out, or add start.")
        if self.meta_order == 2 and (recipe.clip_grad or self.prompt_dropout):
            odd = "--clip-grad" if recipe.clip_grad else "--prompt-dropout"
            raise UserError(f"Second-order steps compare gradients, which {odd} would change: leave it out.")
        rule = Meta(
            self.groups, self.grouping, self.inner_examples, self.inner_lr, self.inner_steps, self.meta_order == 2
        )
        return (Stage(recipe, penalties=self.penalties(), rule=rule),)

    def rehearsed(self) -> MetaPT:
        return self.model_copy(update={"groups": 1})

    def first_recipe(self) -> Recipe:
        own = {"clip_grad": None, "precision": "float32" if self.meta_order == 2 else "auto"}
        return super().first_recipe().model_copy(update=own)  # differences of bf16's gradients are noise


RECORD = Record(
    name="metapt",
    paper="metapt2022",
    idea="Prompts are trained so that a step on one group of examples serves the rest of it, and then tuned; a "
    "reconstruction.",
    entry="MetaPT",
)
