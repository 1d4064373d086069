"""What prompts are made of: the interface."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from selfprompt.marks import optional


class Parametrization(nn.Module, ABC):
    """What prompts are made of: a map from what is trained to what meets the tokens.

    Attributes:
        reads_inputs: Whether each input has prompts of its own (`of_inputs`).
    """

    reads_inputs: bool = False

    @abstractmethod
    def forward(self, prompts: Tensor) -> Tensor:
        """(..., P, D) trained prompts of one layer to (..., P, D) effective ones."""

    @optional
    def draw(self) -> None:
        """Start what is trained beside prompts, from torch's own generator."""

    @optional
    def of_inputs(self, prompts: Tensor, features: Tensor) -> Tensor:
        """(P, D) or (B, P, D) prompts to those of each input, (B, P, D), by the inputs' unit features (B, F)."""
        return prompts.expand(len(features), -1, -1)

    @optional
    def idle(self, prompts: Tensor) -> int:
        """How many numbers, of (layers, P, D) prompts and its own, are masked or fixed, and so not trained."""
        return 0
