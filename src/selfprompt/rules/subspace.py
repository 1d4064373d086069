"""Steps within the few directions in which an earlier training moved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from selfprompt.errors import UserError
from selfprompt.inputs import Batch
from selfprompt.rules import Confinement, Directions
from selfprompt.rules.base import Backward, Held, Rule, shuffled


@dataclass(frozen=True)
class Subspace(Rule):
    """SubPT (Ma et al., "Understanding and Mitigating Overfitting in Prompt Tuning for Vision-Language Models", IEEE
    TCSVT 33(9), 2023, arXiv 2211.02219).

    What is trained besides the head is one vector theta. The principal axes U, (r, n), of where it stood after each
    of some epochs of a first training, their mean taken off, are held. A projected gradient is

        ``g -> U^T U g``,

    which stays in the subspace under SGD, momentum included, as long as nothing decays. With coordinates, z of
    ``theta = theta_0 + U^T z`` is trained in the place of theta, from 0 and without decay, under any optimiser. A
    head moves as always.

    Args:
        directions: Whether U is of the first or the last of those epochs, or random.
        rank: Directions r.
        epochs: Of how many epochs.
        confinement: How steps are kept in the subspace.
    """

    directions: Directions
    rank: int
    epochs: int
    confinement: Confinement = "projection"

    def order(self, count: int, batch_size: int, seed: int, epoch: int) -> list[np.ndarray]:
        return shuffled(count, batch_size, seed, epoch)

    def begin(self, weights: Sequence[Tensor], path: Sequence[Tensor], seed: int) -> Held:
        start = flat(weights).detach().clone()
        if self.rank > len(start):
            raise UserError(
                f"{len(start)} numbers are trained, and {self.rank} directions are asked for: use --subspace-rank "
                f"{len(start)} or less."
            )
        if self.directions == "random":
            drawn = torch.randn(len(start), self.rank, generator=torch.Generator().manual_seed(seed))
            axes = torch.linalg.qr(drawn.double()).Q.T
        else:
            part = slice(self.epochs) if self.directions == "early" else slice(-self.epochs, None)
            axes = principal_axes(path[part], self.rank)
        held = {"axes": axes.to(start).contiguous()}
        if self.confinement == "coordinates":
            held |= {"start": start, "z": start.new_zeros(self.rank)}
        return held

    def moved(self, held: Held) -> list[Tensor]:
        return [held["z"]] if self.confinement == "coordinates" else []

    def step(
        self,
        backward: Backward,
        batch: Batch,
        optimizer: torch.optim.Optimizer,
        weights: Sequence[Tensor],
        held: Held,
    ) -> Tensor:
        loss, axes = backward(batch), held["axes"]
        along = axes @ flat([w.new_zeros(w.shape) if w.grad is None else w.grad for w in weights])
        if self.confinement == "projection":
            for weight, gradient in zip(weights, like(weights, along @ axes)):
                weight.grad = None if weight.grad is None else gradient
            optimizer.step()
            return loss
        held["z"].grad = along
        for weight in weights:
            weight.grad = None
        optimizer.step()
        with torch.no_grad():
            for weight, value in zip(weights, like(weights, held["start"] + held["z"] @ axes)):
                weight.copy_(value)
        return loss


def principal_axes(points: Sequence[Tensor], rank: int) -> Tensor:
    """The first principal axes of t points (n,), as orthonormal rows (rank, n) in float64.

    Raises:
        UserError: The points span no more than ``t - 1`` directions, and more are asked for.
    """
    if rank > len(points) - 1:
        raise UserError(
            f"{len(points)} epochs differ in {len(points) - 1} directions, and {rank} are asked for: use "
            f"--subspace-rank {len(points) - 1} or less, or more --subspace-epochs."
        )
    rows = torch.stack([point.cpu().double() for point in points])
    return torch.linalg.svd(rows - rows.mean(dim=0), full_matrices=False).Vh[:rank]


def flat(tensors: Sequence[Tensor]) -> Tensor:
    """Tensors as one vector."""
    return torch.cat([tensor.flatten() for tensor in tensors])


def like(tensors: Sequence[Tensor], vector: Tensor) -> list[Tensor]:
    """A vector as tensors of given shapes, see `flat`."""
    return [part.view_as(t) for part, t in zip(vector.split([t.numel() for t in tensors]), tensors)]
