"""A linear classifier."""

from __future__ import annotations

from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn

from selfprompt.heads.base import Head


class LinearHead(Head):
    """A linear classifier on the readout, after an optional normalisation without parameters.

    The weight starts from a normal cut at -2 and 2, the bias at 0 (as in SPT's code).

    Args:
        num_features: Width F of the readout.
        num_classes: Classes C.
        norm: ``"batch"`` puts a BatchNorm without affine parameters before the classifier, as MAE's linear probing
            does (He et al., arXiv 2111.06377, A.1).
        std: Deviation of the normal.

    Shape: (B, F) to (B, C).
    """

    def __init__(
        self, num_features: int, num_classes: int, norm: Literal["none", "batch"] = "none", std: float = 0.02
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.norm = nn.BatchNorm1d(num_features, affine=False, eps=1e-6) if norm == "batch" else nn.Identity()
        self.linear = nn.Linear(num_features, num_classes)
        nn.init.trunc_normal_(self.linear.weight, std=std)
        nn.init.zeros_(self.linear.bias)

    def forward(self, features: Float[Tensor, "batch features"]) -> Float[Tensor, "batch classes"]:
        """Features to logits."""
        return self.linear(self.norm(features).to(self.linear.weight.dtype))
