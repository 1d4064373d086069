"""Which prompts are kept: the interface."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable

from torch import Tensor

from selfprompt.backbones.base import Backbone
from selfprompt.inputs import Batch
from selfprompt.prompts.insertion.prompted import PromptInsertion


class Condensation(ABC):
    """Which prompts are kept, decided after a first training; a last one follows.

    Attributes:
        rewinds: Whether the last training begins from a fresh start.
    """

    rewinds: bool

    @abstractmethod
    def share(self, epochs: int) -> tuple[int, int]:
        """Epochs of the first and of the last training, under a recipe of so many."""

    @abstractmethod
    def apply(
        self,
        insertion: PromptInsertion,
        backbone: Backbone,
        losses: Callable[[Batch], Tensor],
        batches: Iterable[Batch],
    ) -> Tensor | None:
        """Decide on the training images, and change the insertion.

        Args:
            insertion: Owns the prompts.
            backbone: What they prompt.
            losses: A batch to its losses (B,), through the insertion, in evaluation mode.
            batches: Of the training examples.

        Returns:
            (layers, P) booleans of what stays, where prompts were taken away.
        """
