"""Flags of `tune` that stand for fields of a method, a recipe or a protocol. None leaves the default."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from selfprompt.errors import UserError


@dataclass
class MethodFlags:
    """Fields that methods share; one that a method does not have is refused. A method's own stand in its name.

    Args:
        num_prompts: Prompts of each block (20; shallow 100).
        shallow: Prompts at the input only.
        prototypes: What the prompts start from (spt: random); left out, the paper's own start.
        prototype_share: Share of the training images that prototypes are made from.
        prompt_rms: Scale each layer's start to this root mean square.
        prompt_dropout: Dropout on each sample's copy of the prompts.
        frozen_prompts: Train the head only.
        keep: Share of the prompts that condensation keeps after training.
        readout: backbone, mae_average (of prompts and patches, as SPT under MAE), or fresh_average (the same with a
            fresh norm, as VPT under MAE); left out, the paper's for the backbone's pretraining.
        head_norm: batch puts a BatchNorm without parameters before the head.
    """

    num_prompts: int | None = None
    shallow: bool | None = None
    prototypes: Literal["random", "mean", "max", "kmeans"] | None = None
    prototype_share: float | None = None
    prompt_rms: float | None = None
    prompt_dropout: float | None = None
    frozen_prompts: bool | None = None
    keep: float | None = None
    readout: Literal["backbone", "mae_average", "fresh_average"] | None = None
    head_norm: Literal["none", "batch"] | None = None


@dataclass
class RecipeFlags:
    """The optimisation; what is left out is the method's published recipe.

    Args:
        epochs: Passes over the training images.
        batch_size: Images in one optimiser step, over all processes.
        optimizer: adamw or sgd.
        lr: Peak learning rate; left out, that of vpt, pc, e2vpt, vfpt and full follows the batch size.
        weight_decay: Of prompts (and of backbone weights where these are trained).
        head_weight_decay: Of the head's weight.
        warmup: Share of the epochs in which the rate rises.
        ema_decay: Keep and select a moving average of the trained weights.
        clip_grad: Largest gradient norm.
        patience: Stop after this many epochs without a better validation accuracy.
        precision: auto is bf16 where the device computes it fast.
        compile: Compile the training step, for long runs.
        checkpointing: Compute activations again in the backward pass: less memory, more time.
    """

    epochs: int | None = None
    batch_size: int | None = None
    optimizer: Literal["adamw", "sgd"] | None = None
    lr: float | None = None
    weight_decay: float | None = None
    head_weight_decay: float | None = None
    warmup: float | None = None
    ema_decay: float | None = None
    clip_grad: float | None = None
    patience: int | None = None
    precision: Literal["auto", "float32", "bf16"] | None = None
    compile: bool | None = None
    checkpointing: bool | None = None


@dataclass
class ProtocolFlags:
    """The evaluation protocol; what is left out is the backbone's own.

    Args:
        resize: crop (short side, then centre), or squash.
        augmentation: Of the training images.
        train_images: Use this many labelled images for training and validation together.
        val_fraction: Share cut for validation where the data has no such split.
        test_fraction: Share cut for the test where the data has no such split.
        split_seed: Seed of these cuts.
        selection: Report the best epoch on validation, or the last.
    """

    resize: Literal["crop", "squash"] | None = None
    augmentation: Literal["none", "flip", "crop_flip", "resize_crop_flip"] | None = None
    train_images: int | None = None
    val_fraction: float | None = None
    test_fraction: float | None = None
    split_seed: int | None = None
    selection: Literal["best_val", "last"] | None = None


def at_least_one(**flags: int | None) -> None:
    """Refuse counts below 1.

    Raises:
        UserError: There is one.
    """
    for name, value in flags.items():
        if value is not None and value < 1:
            raise UserError(f"--{name.replace('_', '-')} {value} is out of range: it must be 1 or more.")


def given(flags: MethodFlags | RecipeFlags | ProtocolFlags | None) -> dict[str, Any]:
    """The flags that the user gave."""
    return {} if flags is None else {k: v for k, v in asdict(flags).items() if v is not None}
