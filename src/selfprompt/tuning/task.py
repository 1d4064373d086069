"""A network and what is asked of it: what processes share and compilers compile."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from selfprompt.inputs import Batch
from selfprompt.objectives.base import Objective, Penalty


class Task(nn.Module):
    """A batch to its losses.

    Args:
        network: Inputs to scores (B, C).
        objective: The loss of each example.
        penalties: Terms that need no batch.
        model: What the penalties are of.
    """

    def __init__(
        self, network: nn.Module, objective: Objective, penalties: Sequence[Penalty], model: nn.Module
    ) -> None:
        super().__init__()
        self.network, self.objective = network, objective
        self.terms = [penalty.of(model) for penalty in penalties]

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """(B,) losses, and the sum of the penalties, ()."""
        losses = self.objective(self.network, batch)
        return losses, sum((term() for term in self.terms), losses.new_zeros(()))
