"""One optimiser step for each batch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from selfprompt.inputs import Batch
from selfprompt.rules.base import Backward, Rule


@dataclass(frozen=True)
class Plain(Rule):
    """Follow the gradient of each batch.

    An epoch is a seeded permutation, its short last batch dropped; where there are fewer examples than one batch, the
    single batch has them all.
    """

    def order(self, count: int, batch_size: int, seed: int, epoch: int) -> list[np.ndarray]:
        order = np.random.default_rng((seed, epoch)).permutation(count)
        steps = max(1, count // batch_size)
        return [order[i * batch_size : (i + 1) * batch_size] for i in range(steps)]

    def step(self, backward: Backward, batch: Batch, optimizer: torch.optim.Optimizer) -> Tensor:
        loss = backward(batch)
        optimizer.step()
        return loss
