"""The studies of the SPT paper, as comparisons that anyone can run on their own images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Variation = tuple[str, str | None, dict[str, Any]]
"""A label, a backbone (None is the user's), and changes to the protocol."""


@dataclass(frozen=True)
class Study:
    """One factor, varied.

    Args:
        idea: What it asks.
        methods: The methods, where the factor is a field of theirs.
        variations: The settings under which all methods are compared.
    """

    idea: str
    methods: tuple[str, ...] = ("vpt", "spt")
    variations: tuple[Variation, ...] = (("", None, {}),)


LENGTHS = (20, 40, 60, 80, 100)
SIZES = (100, 200, 400, 800)
MODELS = ("vit_base_patch16_224.mae", "vit_large_patch16_224.mae", "vit_huge_patch14_224.mae")
STUDIES: dict[str, Study] = {
    "length": Study(
        "How many prompts? (Figure 3)", tuple(f"{m}:num_prompts={n}" for n in LENGTHS for m in ("vpt", "spt"))
    ),
    "prototypes": Study(
        "Which prototypes?", ("vpt", *(f"spt:prototypes={kind}" for kind in ("random", "mean", "max", "kmeans")))
    ),
    "share": Study(
        "How much data for prototypes?", tuple(f"spt:prototype_share={share}" for share in (0.01, 0.1, 0.3, 1.0))
    ),
    "training-set": Study(
        "How many labelled images?", variations=tuple((f"{n} images", None, {"train_images": n}) for n in SIZES)
    ),
    "model": Study("How large a model?", variations=tuple((name, name, {}) for name in MODELS)),
}
"""SPT (Wang et al., ICML 2024, arXiv 2402.02382) studies these factors on CUB with a ViT-B pretrained by MAE."""
