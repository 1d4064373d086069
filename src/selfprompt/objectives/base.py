"""What moves the prompts: the interfaces."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from selfprompt.inputs import Batch, Inputs


class Objective(ABC):
    """A loss of every example, so that the losses of parts of a batch add up to the batch's."""

    @abstractmethod
    def __call__(self, network: Callable[[Inputs], Tensor], batch: Batch) -> Tensor:
        """The losses (B,) of a batch, in float32.

        Args:
            network: Inputs to scores (B, C).
            batch: B examples.
        """


class Penalty(ABC):
    """A term that needs no batch, added once a step."""

    @abstractmethod
    def of(self, model: nn.Module) -> Callable[[], Tensor]:
        """The term of a model, a scalar, as it is whenever it is asked; what never changes is computed here.

        Raises:
            UserError: The model has no such term.
        """


def total(losses: Tensor) -> Tensor:
    """The sum of (B,) losses, added one by one as torch's own losses are: logs stay as they were, to the bit."""
    return F.nll_loss(-losses[:, None], torch.zeros_like(losses, dtype=torch.long), reduction="sum")
