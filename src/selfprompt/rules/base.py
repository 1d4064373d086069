"""How and when prompts are moved: the interface."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from selfprompt.inputs import Batch
from selfprompt.marks import optional

Held = dict[str, Tensor]
"""What a rule holds through a stage; it is saved with every checkpoint."""
Backward = Callable[[Batch], Tensor]
"""A batch to its mean loss, on the host; gradients, averaged over processes and clipped, are left in the weights."""


class Rule(ABC):
    """What one optimiser step does with its examples; frozen, its state in the tensors that it is handed."""

    @abstractmethod
    def order(self, count: int, batch_size: int, seed: int, epoch: int) -> list[np.ndarray]:
        """Which examples make each step of an epoch.

        Args:
            count: Examples.
            batch_size: Of a step.
            seed, epoch: What every draw follows from.
        """

    @optional
    def begin(self, weights: Sequence[Tensor], path: Sequence[Tensor], seed: int) -> Held:
        """What it holds, made once, where a stage begins.

        Args:
            weights: What is trained besides the head.
            path: The same as one vector (n,), after each epoch of the stage before, if that was recorded.
            seed: Seed of every draw.

        Raises:
            UserError: That is not enough.
        """
        return {}

    @optional
    def moved(self, held: Held) -> list[Tensor]:
        """What is held that the optimiser moves, too, without decay."""
        return []

    @abstractmethod
    def step(
        self,
        backward: Backward,
        batch: Batch,
        optimizer: torch.optim.Optimizer,
        weights: Sequence[Tensor],
        held: Held,
    ) -> Tensor:
        """One step: gradients of the batch, and what is done with them.

        Args:
            backward: See `Backward`.
            batch: The step's examples.
            optimizer: Of all that is trained.
            weights: What is trained besides the head.
            held: From `begin`, perhaps changed by earlier steps.

        Returns:
            The mean loss, on the host.
        """


def shuffled(count: int, batch_size: int, seed: int, epoch: int) -> list[np.ndarray]:
    """A seeded permutation as batches, a short last one dropped; of fewer examples than one batch, all as one."""
    order = np.random.default_rng((seed, epoch)).permutation(count)
    steps = max(1, count // batch_size)
    return [order[i * batch_size : (i + 1) * batch_size] for i in range(steps)]
