"""What prompts are made of: the interface."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn

from selfprompt.backbones.base import Context
from selfprompt.marks import optional


class Parametrization(nn.Module, ABC):
    """What prompts are made of: a map from what is trained to what meets the tokens.

    Attributes:
        reads: What each input has prompts of its own by: its features, which somebody else tells; the text that the
            prompts meet; or nothing, where all share the same.
    """

    reads: Literal["nothing", "features", "text"] = "nothing"

    @abstractmethod
    def forward(self, prompts: Float[Tensor, "*batch prompts width"]) -> Float[Tensor, "*batch prompts width"]:
        """(..., P, D) trained prompts of one layer to (..., P, D) effective ones."""

    @optional
    def draw(self) -> None:
        """Start what is trained beside prompts, from torch's own generator."""

    @optional
    def read(self, context: Context) -> Tensor | None:
        """Of each text that the prompts meet, what `of_inputs` wants; None where it reads none."""
        return None

    @optional
    def of_inputs(self, prompts: Tensor, read: Tensor) -> Tensor:
        """(P, D) or (B, P, D) prompts to those of each input, (B, P, D).

        Args:
            prompts: What `forward` gave.
            read: (B, F) unit features of the inputs; or what `read` gave.
        """
        return prompts.expand(len(read), -1, -1)

    @optional
    def idle(self, prompts: Float[Tensor, "layers prompts width"]) -> int:
        """How many numbers, of (layers, P, D) prompts and its own, are masked or fixed, and so not trained."""
        return 0
