"""Cross-entropy with labels: of one class an example, or of each class by itself where it may have several."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Float32, Int64
from torch import Tensor

from selfprompt.inputs import Batch, Inputs
from selfprompt.objectives.base import Objective


def cross_entropy(
    scores: Float[Tensor, "batch classes"], labels: Int64[Tensor, " batch"] | Bool[Tensor, "batch classes"]
) -> Float32[Tensor, " batch"]:
    """(B, C) scores to (B,) losses in float32.

    Args:
        scores: Of each class.
        labels: (B,) classes; or (B, C) booleans, with which it is the mean binary cross-entropy over classes.
    """
    if labels.ndim == 2:
        return _binary(scores, labels).mean(dim=-1)
    return F.cross_entropy(scores.float(), labels, reduction="none")


@dataclass(frozen=True)
class Labels(Objective):
    """The cross-entropy of each example with its label or labels.

    Args:
        weights: Of examples of each class, C of them; with several labels two rows, of examples without the class and
            with it. None weighs all alike.
    """

    weights: tuple[float, ...] | tuple[tuple[float, ...], tuple[float, ...]] | None = None

    def __call__(self, network: Callable[[Inputs], Tensor], batch: Batch) -> Float32[Tensor, " batch"]:
        scores, labels = network(batch.inputs), batch.labels
        assert labels is not None
        if self.weights is None:
            return cross_entropy(scores, labels)
        weights = torch.tensor(self.weights, device=scores.device)
        if labels.ndim == 2:
            return (torch.where(labels, weights[1], weights[0]) * _binary(scores, labels)).mean(dim=-1)
        return weights[labels] * cross_entropy(scores, labels)


def _binary(scores: Tensor, labels: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(scores.float(), labels.float(), reduction="none")
