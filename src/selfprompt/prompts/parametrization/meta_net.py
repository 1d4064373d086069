"""Prompts that are shifted by what a small network makes of the input."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from selfprompt.prompts.parametrization.base import Parametrization


class MetaNet(Parametrization):
    """CoCoOp's (Zhou et al., "Conditional Prompt Learning for Vision-Language Models", CVPR 2022, arXiv 2203.05557).

        ``p_j -> p_j + W_2 ReLU(W_1 z + b_1) + b_2``

    with z the unit feature of the input, F / 16 hidden units and one shift for all prompts. Without an input there is
    no shift. Both layers start as torch starts linear ones; until `draw` they are 0.

    Args:
        features: Width F of the feature.
        width: Token width D.
    """

    reads = "features"

    def __init__(self, features: int, width: int) -> None:
        super().__init__()
        hidden = max(1, features // 16)
        self.down = nn.Linear(features, hidden, device="meta").to_empty(device="cpu")  # which draws nothing
        self.up = nn.Linear(hidden, width, device="meta").to_empty(device="cpu")
        for parameter in self.parameters():
            nn.init.zeros_(parameter)

    def draw(self) -> None:
        self.down.reset_parameters()
        self.up.reset_parameters()

    def forward(self, prompts: Tensor) -> Tensor:
        return prompts

    def of_inputs(self, prompts: Tensor, read: Tensor) -> Tensor:
        shift: Tensor = self.up(torch.relu(self.down(read)))
        return prompts + shift[:, None]
