"""Cross-entropy with labels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch.nn.functional as F
from jaxtyping import Float, Float32, Int64
from torch import Tensor

from selfprompt.inputs import Batch, Inputs
from selfprompt.objectives.base import Objective


def cross_entropy(
    scores: Float[Tensor, "batch classes"],
    labels: Int64[Tensor, " batch"] | Float[Tensor, "batch classes"],
    smoothing: float = 0.0,
) -> Float32[Tensor, " batch"]:
    """(B, C) scores and (B,) classes, or (B, C) shares of classes, to (B,) losses in float32."""
    return F.cross_entropy(scores.float(), labels, reduction="none", label_smoothing=smoothing)


@dataclass(frozen=True)
class Labels(Objective):
    """The cross-entropy of each example with its label.

    Args:
        smoothing: Share of the label that all classes have alike (Szegedy et al., arXiv 1512.00567).
    """

    smoothing: float = 0.0

    def __call__(self, network: Callable[[Inputs], Tensor], batch: Batch) -> Float32[Tensor, " batch"]:
        assert batch.labels is not None
        return cross_entropy(network(batch.inputs), batch.labels, self.smoothing)
