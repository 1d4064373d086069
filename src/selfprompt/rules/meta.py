"""Steps after which a step on a task serves the task: MAML."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor

from selfprompt.errors import UserError
from selfprompt.inputs import Batch, count, cut
from selfprompt.rules.base import Backward, Held, Rule
from selfprompt.rules.subspace import flat, like

Clustering: TypeAlias = Literal["kmeans", "random"]


@dataclass(frozen=True)
class Meta(Rule):
    """MAML (Finn et al., arXiv 1703.03400) over groups of the examples, of what is trained besides the head.

    A task is a group. Of each task of a step, with the examples S and others Q of its group,

        ``theta' = theta - alpha grad L_S(theta)``,  ``g = (I - alpha H_S(theta)) grad L_Q(theta')``,

    and the optimiser follows the mean of g; theta' is never kept. The first order leaves H_S, the Hessian of L_S, out
    (FOMAML). What it does to a vector v is measured as a difference of gradients, as in HF-MAML (Fallah et al., arXiv
    1908.10400), here a central one, ``(grad L_S(theta + h v) - grad L_S(theta - h v)) / 2 h``, so that any attention
    will do. A head is moved by Q alone, at theta'.

    Args:
        groups: Groups K; those without two labels and examples for S and Q make no task.
        clustering: k-means of the examples' states, or random groups of one size.
        examples: Of S, and of Q.
        rate: alpha.
        steps: Inner steps, all on S.
        second: Take H_S in.
    """

    own_order: ClassVar[bool] = True
    groups: int
    clustering: Clustering
    examples: int
    rate: float
    steps: int = 1
    second: bool = False

    def sort(self, states: Callable[[], Tensor], labels: Tensor, batch_size: int, seed: int) -> Held:
        tasks, needed = batch_size // (2 * self.examples), 2 * self.examples
        if not tasks:
            raise UserError(
                f"A task takes {needed} examples, and a batch has {batch_size}: use --batch-size {needed}."
            )
        if self.groups > len(labels):
            raise UserError(f"There are {len(labels)} examples for {self.groups} groups: use fewer groups.")
        group = grouped(states() if self.clustering == "kmeans" else None, len(labels), self.groups, seed)
        for g in range(self.groups):
            inside = labels[group == g]
            if len(inside) < needed or len(inside.unique(dim=0)) < 2:
                group[group == g] = -1
        if not (group >= 0).any():
            raise UserError(
                f"None of {self.groups} groups has {needed} examples of two classes or more: use fewer groups, or "
                f"fewer inner_examples."
            )
        return {"group": group, "tasks": torch.tensor(tasks)}

    def order(self, count: int, batch_size: int, seed: int, epoch: int, held: Held) -> list[np.ndarray]:
        """S and Q of each task, one after the other."""
        rng, group, tasks = np.random.default_rng((seed, epoch)), held["group"].cpu().numpy(), int(held["tasks"])
        there = np.unique(group[group >= 0])
        members = {g: np.flatnonzero(group == g) for g in there}
        steps = []
        for _ in range(max(1, count // batch_size)):
            chosen = rng.choice(there, tasks, replace=tasks > len(there))
            steps.append(np.concatenate([rng.choice(members[g], 2 * self.examples, replace=False) for g in chosen]))
        return steps

    def step(
        self,
        backward: Backward,
        batch: Batch,
        optimizer: torch.optim.Optimizer,
        weights: Sequence[Tensor],
        held: Held,
    ) -> Tensor:
        tasks = int(held["tasks"])
        if count(batch.inputs) % (2 * tasks):
            raise UserError("A task has a part in each process: use inner_examples that all processes can share.")
        trained = [p for group in optimizer.param_groups for p in group["params"]]
        start, loss = flat(weights).detach().clone(), torch.zeros((), dtype=torch.float64)
        sums: list[Tensor | None] = [None] * len(trained)

        def gradient(part: Batch, at: Tensor) -> tuple[Tensor, Tensor]:
            """The loss, and the gradient of the weights, where these are put; it is left in all that is trained."""
            put(weights, at)
            for p in trained:
                p.grad = None
            found = backward(part)
            return found, flat([w.new_zeros(w.shape) if w.grad is None else w.grad for w in weights]).clone()

        pieces = cut(batch, 2 * tasks)
        for support, query in zip(pieces[::2], pieces[1::2]):
            points = [start]
            for _ in range(self.steps):
                points.append(points[-1] - self.rate * gradient(support, points[-1])[1])
            found, along = gradient(query, points.pop())
            loss += found
            taken = [None if p.grad is None else p.grad.clone() for p in trained]
            while self.second and points:
                at = points.pop()
                along = along - self.rate * curvature(partial(gradient, support), at, along)
            if self.second:
                own = {id(w): g for w, g in zip(weights, like(weights, along))}
                taken = [own.get(id(p), g) for p, g in zip(trained, taken)]
            sums = [g if s is None else s if g is None else s + g for s, g in zip(sums, taken)]
        put(weights, start)
        for p, s in zip(trained, sums):
            p.grad = None if s is None else s / tasks
        optimizer.step()
        return loss / tasks


def curvature(gradient: Callable[[Tensor], tuple[Tensor, Tensor]], at: Tensor, along: Tensor) -> Tensor:
    """The Hessian at a point times a vector (n,), by a central difference of gradients.

    Its step is the cube root of the type's precision, by the sizes of both.
    """
    size = along.norm()
    if not size:
        return torch.zeros_like(along)
    h = torch.finfo(at.dtype).eps ** (1 / 3) * (1 + at.norm()) / size
    return (gradient(at + h * along)[1] - gradient(at - h * along)[1]) / (2 * h)


def grouped(states: Tensor | None, count: int, groups: int, seed: int) -> Tensor:
    """(N,) int64, the group of each example: by k-means of (N, F) states, at random where there are none."""
    if states is None:
        return torch.from_numpy(np.random.default_rng(seed).permutation(count) % groups)
    from sklearn.cluster import KMeans

    found = KMeans(groups, n_init="auto", random_state=seed).fit_predict(states.double().numpy())
    return torch.from_numpy(found.astype(np.int64))


@torch.no_grad()
def put(weights: Sequence[Tensor], vector: Tensor) -> None:
    """Set weights to a vector's values, see `flat`."""
    for weight, value in zip(weights, like(weights, vector)):
        weight.copy_(value)
