"""Prompts of which some are seen through a Fourier transform."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from selfprompt.prompts.parametrization.base import Parametrization


class Fourier(Parametrization):
    """VFPT (Zeng et al., "Visual Fourier Prompt Tuning", NeurIPS 2024, arXiv 2411.01327).

    The first ``m = floor(fraction P)`` prompts of a layer, ``q`` of shape (m, D), are replaced by the real part of
    their two-dimensional Fourier transform, not normalised and in float32; the others stay:

        ``F[k, l] = sum_ab q[a, b] cos(2 pi (k a / m + l b / D))``

    About half of the numbers in ``q`` have no part in ``F`` (it is even in (k, l)): they get no gradient. Where
    m is 0 nothing is transformed (the official code fails there).

    Args:
        fraction: Share of the prompts that are transformed, 0 to 1.

    Shape: (..., P, D) to (..., P, D).
    """

    def __init__(self, fraction: float) -> None:
        super().__init__()
        self.fraction = fraction

    def forward(self, prompts: Float[Tensor, "*batch prompts width"]) -> Float[Tensor, "*batch prompts width"]:
        """The effective prompts of one layer."""
        count = int(self.fraction * prompts.shape[-2] + 1e-9)  # 0.29 of 100 is 29
        if count == 0:
            return prompts
        with torch.autocast(prompts.device.type, enabled=False):
            mixed = torch.fft.fft2(prompts[..., :count, :].float()).real
        return torch.cat([mixed.to(prompts.dtype), prompts[..., count:, :]], dim=-2)
