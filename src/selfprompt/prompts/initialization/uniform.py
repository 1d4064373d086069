"""VPT's random start."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch

from selfprompt.backbones.base import Backbone
from selfprompt.inputs import Inputs
from selfprompt.prompts.initialization.base import Initialization, Prompts


class Uniform(Initialization):
    """``U(-v, v)`` with ``v = sqrt(6 / (3 p p + D))``, p the patch size (Jia et al., arXiv 2203.12119).

    Of words, which are no sums over pixels, ``v = sqrt(6 / (D + D))``.
    """

    needs_data = False

    def prepare(
        self, backbone: Backbone, batches: Iterable[Inputs], layers: int, num_prompts: int, seed: int
    ) -> Prompts:
        """Draw the prompts on the CPU, so that every device gets the same."""
        bound = math.sqrt(6 / (backbone.token_fan_in + backbone.width))
        generator = torch.Generator().manual_seed(seed)
        values = torch.rand(layers, num_prompts, backbone.width, generator=generator)
        return Prompts((2 * values - 1) * bound)
