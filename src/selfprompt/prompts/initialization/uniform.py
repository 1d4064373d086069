"""VPT's random start."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor

from selfprompt.backbones.base import Backbone
from selfprompt.prompts.initialization.base import Initialization, Prompts


class Uniform(Initialization):
    """``U(-v, v)`` with ``v = sqrt(6 / (3 p p + D))``, p the patch size (Jia et al., arXiv 2203.12119)."""

    needs_data = False

    def prepare(
        self, backbone: Backbone, batches: Iterable[Tensor], layers: int, num_prompts: int, seed: int
    ) -> Prompts:
        """Draw the prompts on the CPU, so that every device gets the same."""
        bound = math.sqrt(6 / (3 * backbone.patch_size**2 + backbone.width))
        generator = torch.Generator().manual_seed(seed)
        values = torch.rand(layers, num_prompts, backbone.width, generator=generator)
        return Prompts((2 * values - 1) * bound)
