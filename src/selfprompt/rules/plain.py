"""One optimiser step for each batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from selfprompt.inputs import Batch
from selfprompt.rules.base import Backward, Held, Rule, shuffled


@dataclass(frozen=True)
class Plain(Rule):
    """Follow the gradient of each batch."""

    def order(self, count: int, batch_size: int, seed: int, epoch: int) -> list[np.ndarray]:
        return shuffled(count, batch_size, seed, epoch)

    def step(
        self,
        backward: Backward,
        batch: Batch,
        optimizer: torch.optim.Optimizer,
        weights: Sequence[Tensor],
        held: Held,
    ) -> Tensor:
        loss = backward(batch)
        optimizer.step()
        return loss
