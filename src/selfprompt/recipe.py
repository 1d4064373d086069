"""A recipe: how prompts, head and whatever else is trained are optimised."""

from __future__ import annotations

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
        optimizer: ``adamw``, or ``sgd`` with ``momentum``.
        lr: Peak learning rate, as it is. Where a paper gives a base rate times batch / 256, a method's recipe for
            another batch has another rate (`Method.recipe_with`).
        weight_decay: Of prompts, and of backbone weights where these are trained.
        head_weight_decay: Of the head's weight. One-dimensional parameters (biases, norms) have none.
        warmup: Share of the epochs.
        ema_decay: Keep, select and save an exponential moving average of the trained weights; None for none.
        clip_grad: Largest gradient norm; None for no clipping.
        patience: Stop after this many epochs without a better validation accuracy; None never stops early.
        precision: ``auto`` is bf16 where the device computes it fast, else float32.
        compile: Compile the training step (torch.compile); the time that takes is in the run's ``compile_seconds``.
        checkpointing: Keep no activations within blocks, and compute them again in the backward pass: less memory,
            about half as much time again, the same numbers.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    epochs: int = Field(default=100, ge=1)
    batch_size: int = Field(default=32, ge=1)
    optimizer: Literal["adamw", "sgd"] = "adamw"
    lr: float = Field(default=1e-3, gt=0, le=LARGEST)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    weight_decay: float = Field(default=1e-2, ge=0, le=LARGEST)
    head_weight_decay: float = Field(default=1e-2, ge=0, le=LARGEST)
    warmup: float = Field(default=0.1, ge=0, le=1)
    min_lr: float = Field(default=1e-8, ge=0, le=LARGEST)
    ema_decay: float | None = Field(default=None, gt=0, lt=1)
    clip_grad: float | None = Field(default=None, gt=0, le=LARGEST)
    patience: int | None = Field(default=None, ge=1)
    precision: Literal["auto", "float32", "bf16"] = "auto"
    compile: bool = False
    checkpointing: bool = False
