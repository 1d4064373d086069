"""What is known of a backbone without its weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Pretraining = Literal["supervised", "mae", "mocov3", "dino", "clip", "unknown"]
"""How a backbone was trained: methods publish one recipe for each kind."""

Interpolation = Literal["nearest", "bilinear", "bicubic", "lanczos"]
"""Filter of a resize (Pillow's, which is antialiased)."""

Readout = Literal["backbone", "mae_average", "fresh_average", "words"]
"""How tokens become one feature: see `Backbone.readout`; ``words`` are a language model's scores of all words."""


@dataclass(frozen=True)
class BackboneInfo:
    """Where a backbone comes from and what it wants to see.

    Args:
        name: timm name, file path or ``"builtin"``: what finds the same backbone again.
        architecture: A name for people, such as ``vit_base_patch16_224``.
        pretraining: How it was trained.
        image_size: Side of its square input in pixels; None where it takes no images.
        mean, std: Normalisation of values in [0, 1].
        interpolation, crop_fraction, resize: How it was evaluated (see `selfprompt.Protocol`).
    """

    name: str
    architecture: str
    pretraining: Pretraining
    image_size: int | None
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    interpolation: Interpolation = "bicubic"
    crop_fraction: float = 1.0
    resize: str = "crop"
