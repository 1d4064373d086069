"""What prompts are made of: the interface."""

from __future__ import annotations

from abc import ABC, abstractmethod

from jaxtyping import Float
from torch import Tensor, nn

from selfprompt.marks import optional


class Parametrization(nn.Module, ABC):
    """What prompts are made of: a map from what is trained to what meets the tokens."""

    @abstractmethod
    def forward(self, prompts: Float[Tensor, "*batch prompts width"]) -> Float[Tensor, "*batch prompts width"]:
        """(..., P, D) trained prompts of one layer to (..., P, D) effective ones."""

    @optional
    def idle(self, prompts: Float[Tensor, "layers prompts width"]) -> int:
        """How many numbers, of (layers, P, D) prompts and its own, are masked or fixed, and so not trained."""
        return 0
