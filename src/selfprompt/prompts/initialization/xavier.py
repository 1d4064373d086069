"""CVPT's random start."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch

from selfprompt.backbones.base import Backbone
from selfprompt.inputs import Inputs
from selfprompt.prompts.initialization.base import Initialization, Prompts


class Xavier(Initialization):
    """``U(-v, v)`` with ``v = sqrt(6 / ((P + layers) D))`` (Huang et al., arXiv 2408.14961).

    The bound is what Xavier's rule gives for a tensor (layers, P, D), so that it shrinks with P.
    """

    needs_data = False

    def prepare(
        self, backbone: Backbone, batches: Iterable[Inputs], layers: int, num_prompts: int, seed: int
    ) -> Prompts:
        """Draw the prompts on the CPU, so that every device gets the same."""
        bound = math.sqrt(6 / ((num_prompts + layers) * backbone.width))
        values = torch.rand(layers, num_prompts, backbone.width, generator=torch.Generator().manual_seed(seed))
        return Prompts((2 * values - 1) * bound)
