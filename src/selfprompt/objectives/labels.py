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
    scores: Float[Tensor, "batch classes"],
    labels: Int64[Tensor, " batch"] | Bool[Tensor, "batch classes"] | Float[Tensor, "batch classes"],
    weights: Float[Tensor, " classes"] | Float[Tensor, "2 classes"] | None = None,
    smoothing: float = 0.0,
) -> Float32[Tensor, " batch"]:
    """(B, C) scores to (B,) losses in float32.

    Args:
        scores: Of each class.
        labels: (B,) classes, or (B, C) shares of classes; or (B, C) booleans, with which it is the mean binary
            cross-entropy over classes.
        weights: Of examples of each class; with booleans two rows, of examples without the class and with it.
        smoothing: Share of the label that all classes have alike (Szegedy et al., arXiv 1512.00567).
    """
    if labels.dtype != torch.bool and weights is not None and smoothing:
        # an example's own weight holds for all of its loss; torch's would weigh what is smoothed by each class's
        own = weights * (labels if labels.dim() == 2 else F.one_hot(labels, scores.shape[1]))
        misses = -scores.float().log_softmax(dim=-1)
        return (1 - smoothing) * (own * misses).sum(dim=-1) + smoothing * own.sum(dim=-1) * misses.mean(dim=-1)
    if labels.dtype != torch.bool:
        return F.cross_entropy(scores.float(), labels, weights, reduction="none", label_smoothing=smoothing)
    losses = F.binary_cross_entropy_with_logits(scores.float(), labels.float(), reduction="none")
    return (losses if weights is None else torch.where(labels, weights[1], weights[0]) * losses).mean(dim=-1)


@dataclass(frozen=True)
class Labels(Objective):
    """The cross-entropy of each example with its label or labels.

    Args:
        smoothing, weights: See `cross_entropy`; None weighs all alike.
    """

    smoothing: float = 0.0
    weights: tuple[float, ...] | tuple[tuple[float, ...], tuple[float, ...]] | None = None

    def __call__(self, network: Callable[[Inputs], Tensor], batch: Batch) -> Float32[Tensor, " batch"]:
        scores = network(batch.inputs)
        assert batch.labels is not None
        weights = None if self.weights is None else torch.tensor(self.weights, device=scores.device)
        return cross_entropy(scores, batch.labels, weights, self.smoothing)
