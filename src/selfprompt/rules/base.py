"""How and when prompts are moved: the interface."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from selfprompt.inputs import Batch

Backward = Callable[[Batch], Tensor]
"""A batch to its mean loss, on the host; gradients, averaged over processes and clipped, are left in the weights."""


class Rule(ABC):
    """What one optimiser step does with its examples; frozen, its state in the tensors that it is given."""

    @abstractmethod
    def order(self, count: int, batch_size: int, seed: int, epoch: int) -> list[np.ndarray]:
        """Which examples make each step of an epoch.

        Args:
            count: Examples.
            batch_size: Of a step.
            seed, epoch: What every draw follows from.
        """

    @abstractmethod
    def step(self, backward: Backward, batch: Batch, optimizer: torch.optim.Optimizer) -> Tensor:
        """One step: gradients of the batch, and what is done with them.

        Returns:
            The mean loss, on the host.
        """
