"""MixUp and CutMix: images of a batch, and their labels, in parts of two."""

from __future__ import annotations

from torchvision.transforms import v2

from selfprompt.inputs import Batch, images_of
from selfprompt.methods.recipe import Recipe


class Mixing:
    """Mixes each image of a batch with the one before it, as torchvision does.

    What is drawn is drawn from torch's generator, which each step seeds. With several processes, each draws for its
    part of the batch.

    Args:
        recipe: One that mixes.
        classes: Their number C.
    """

    def __init__(self, recipe: Recipe, classes: int) -> None:
        alphas = {v2.MixUp: recipe.mixup, v2.CutMix: recipe.cutmix}
        self._mix = v2.RandomChoice([kind(alpha=a, num_classes=classes) for kind, a in alphas.items() if a])

    def __call__(self, batch: Batch) -> Batch:
        """Normalised images (B, 3, H, W) with labels (B,) to mixed ones with shares of classes (B, C)."""
        return Batch(*self._mix(images_of(batch.inputs), batch.labels))
