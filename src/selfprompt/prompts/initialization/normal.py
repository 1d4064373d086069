"""CoOp's and APT's random start."""

from __future__ import annotations

from collections.abc import Iterable

import torch

from selfprompt.backbones.base import Backbone
from selfprompt.inputs import Inputs
from selfprompt.prompts.initialization.base import Initialization, Prompts


class Normal(Initialization):
    """``N(0, 0.02^2)``: of words in CoOp (Zhou et al., arXiv 2109.01134) and all that came of it, of tokens in APT
    (Wu et al., arXiv 2306.15706)."""

    needs_data = False

    def prepare(
        self, backbone: Backbone, batches: Iterable[Inputs], layers: int, num_prompts: int, seed: int
    ) -> Prompts:
        """Draw the prompts on the CPU, so that every device gets the same."""
        generator = torch.Generator().manual_seed(seed)
        return Prompts(0.02 * torch.randn(layers, num_prompts, backbone.width, generator=generator))
