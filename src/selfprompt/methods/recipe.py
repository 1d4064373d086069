"""Recipes: how prompts, head and whatever else is trained are optimised."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

LARGEST = 1e30  # of a number that weights are multiplied by, or start at: float32 ends at 3e38


class Recipe(BaseModel):
    """One training run's optimisation. Every method has published ones; a flag of the user's beats them.

    The learning rate rises linearly from 0 over ``warmup`` and falls along half a cosine to ``min_lr``, stepped at
    every iteration. Of fewer than ten steps without a whole one of warm-up, the first has the peak, and the cosine
    ends one step behind the last.

    Args:
        epochs: Passes over the training images.
        batch_size: Images in one optimiser step, over all processes.
        optimizer: adamw, or sgd with momentum.
        lr: Peak learning rate, as it is. Left open, it is the published one; where a paper gives a base rate times
            batch / 256, it follows the batch size.
        head_lr: Peak learning rate of the head; left open, lr. A search of the rate then searches both.
        momentum: Of sgd.
        weight_decay: Of prompts, and of backbone weights where these are trained.
        head_weight_decay: Of the head's weight. One-dimensional parameters (biases, norms) have none.
        warmup: Share of the epochs in which the rate rises from 0.
        min_lr: Learning rate at the end.
        ema_decay: Keep, select and save an exponential moving average of the trained weights, with this decay.
        clip_grad: Clip gradients to this norm.
        patience: Stop after this many epochs without a better validation accuracy.
        precision: auto is bf16 where the device computes it fast, else float32.
        balance: What is done where classes have unequal numbers of training images. loss weighs each image by one
            over those of its class, with a mean of 1 (of several labels, images with and without a class weigh
            alike); sampler draws images so that all classes are as likely; auto is loss where the largest class has
            more than three times the images of the smallest. Published recipes do nothing, which is the default:
            balancing trades accuracy for balanced accuracy, and probabilities no longer follow the classes' shares.
        compile: Compile the training step (torch.compile), for long runs.
        checkpointing: Compute activations again in the backward pass: less memory, about half as much time again, the
            same numbers.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, defer_build=True)

    epochs: int = Field(default=100, ge=1)
    batch_size: int = Field(default=32, ge=1)
    optimizer: Literal["adamw", "sgd"] = "adamw"
    lr: float = Field(default=1e-3, gt=0, le=LARGEST)
    head_lr: float | None = Field(default=None, gt=0, le=LARGEST)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    weight_decay: float = Field(default=1e-2, ge=0, le=LARGEST)
    head_weight_decay: float = Field(default=1e-2, ge=0, le=LARGEST)
    warmup: float = Field(default=0.1, ge=0, le=1)
    min_lr: float = Field(default=1e-8, ge=0, le=LARGEST)
    ema_decay: float | None = Field(default=None, gt=0, lt=1)
    clip_grad: float | None = Field(default=None, gt=0, le=LARGEST)
    patience: int | None = Field(default=None, ge=1)
    precision: Literal["auto", "float32", "bf16"] = "auto"
    balance: Literal["none", "loss", "sampler", "auto"] = "none"
    compile: bool = False
    checkpointing: bool = False


@dataclass(frozen=True)
class Grid:
    """The learning rates and weight decays that a paper searches for every task.

    Args:
        lr, weight_decay: The values.
        base: The rates are base rates, each used times batch / 256, as VPT's code does; so is the recipe's.
    """

    lr: tuple[float, ...]
    weight_decay: tuple[float, ...]
    base: bool = False

    def rates(self, batch_size: int) -> list[float]:
        """The learning rates for a batch."""
        return [rate * batch_size / 256 if self.base else rate for rate in self.lr]


HEAD_RATES: Mapping[str, float] = {"embedded": 3.2e-2, "mini": 3e-2, "mini-clip": 3e-2, "mini-text": 3e-2}
"""`Method.rates` of whatever trains the head alone."""

VPT_GRID = Grid((0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 50.0), (0.0, 1e-4, 1e-3, 1e-2), base=True)
"""VPT's grid for VTAB (arXiv 2203.12119), which E2VPT and VFPT search, too; VPT's for FGVC lacks the rate of 0.05."""


def vpt_recipe() -> Recipe:
    """VPT's documented run on DMLab and EuroSAT: base rate 1.0 times batch / 256."""
    return Recipe(optimizer="sgd", lr=64 / 256, batch_size=64, weight_decay=1e-3, head_weight_decay=1e-3)
