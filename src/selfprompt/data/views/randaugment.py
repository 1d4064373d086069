"""RandAugment, as torchvision has it."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.overrides import TorchFunctionMode
from torchvision.transforms.v2 import InterpolationMode, RandAugment

AUGMENT = RandAugment(num_ops=2, magnitude=9, interpolation=InterpolationMode.BILINEAR)


class DrawnFrom(TorchFunctionMode):
    """Inside, this thread's draws are from a generator: torch's own is shared by all threads."""

    def __init__(self, generator: torch.Generator) -> None:
        super().__init__()
        self.generator = generator

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        drawn = {"generator": self.generator} if func in (torch.rand, torch.randint) else {}
        return func(*args, **(kwargs or {}), **drawn)


def randaugment(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Two operations of magnitude 9 of 30 (Cubuk et al., "RandAugment: Practical automated data augmentation with a
    reduced search space", arXiv 1909.13719), drawn from ``rng``; what comes in from beyond the edge is black."""
    with DrawnFrom(torch.Generator().manual_seed(int(rng.integers(2**63)))):
        return AUGMENT(image)
