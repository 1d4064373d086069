"""How and when prompts are moved: the interface."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from selfprompt.inputs import Batch
from selfprompt.marks import optional

Held = dict[str, Tensor]
"""What a rule holds through a stage; it is saved with every checkpoint."""
Backward = Callable[[Batch], Tensor]
"""A batch, or a part of it as large in every process, to its mean loss, on the host; gradients, averaged over
processes and clipped, are added to the weights'."""


class Rule(ABC):
    """What one optimiser step does with its examples; frozen, its state in the tensors that it is given.

    Attributes:
        own_order: Whether it chooses the examples of a step by what they are.
    """

    own_order: ClassVar[bool] = False

    @optional
    def order(self, count: int, batch_size: int, seed: int, epoch: int, held: Held) -> list[np.ndarray]:
        """Which examples make each step of an epoch.

        They are a seeded permutation, a short last batch dropped; of fewer examples than one batch, all make one.

        Args:
            count: Examples.
            batch_size: Of a step.
            seed, epoch: What every draw follows from.
            held: From `begin` and `sort`.
        """
        order = np.random.default_rng((seed, epoch)).permutation(count)
        steps = max(1, count // batch_size)
        return [order[i * batch_size : (i + 1) * batch_size] for i in range(steps)]

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
    def sort(self, states: Callable[[], Tensor], labels: Tensor, batch_size: int, seed: int) -> Held:
        """What it holds of the training examples, made once where a stage begins.

        Args:
            states: Makes the examples' features by the frozen backbone without prompts, (N, F).
            labels: (N,).
            batch_size: Of a step.
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
            held: From `begin` and `sort`, perhaps changed by earlier steps.

        Returns:
            The mean loss, on the host.
        """
