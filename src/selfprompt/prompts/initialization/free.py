"""P-tuning v2's start."""

from __future__ import annotations

from collections.abc import Iterable

import torch

from selfprompt.backbones.base import Backbone
from selfprompt.inputs import Inputs
from selfprompt.prompts.initialization.base import Initialization, Prompts


class Free(Initialization):
    """``N(0, 1)`` for keys and values themselves (the official code's, Liu et al., arXiv 2110.07602)."""

    needs_data = False

    def prepare(
        self, backbone: Backbone, batches: Iterable[Inputs], layers: int, num_prompts: int, seed: int
    ) -> Prompts:
        """Draw the prompts on the CPU, so that every device gets the same."""
        width = 2 * backbone.num_heads * backbone.head_width
        return Prompts(torch.randn(layers, num_prompts, width, generator=torch.Generator().manual_seed(seed)))
