"""How sure scores are, and the mean of what several views say; in log space, so that nothing is lost near 0 and 1."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def entropy(scores: Tensor) -> Tensor:
    """(..., C) scores to the entropies (...) of their softmax, in nats."""
    log = scores.log_softmax(dim=-1)
    return -(log.exp() * log).sum(dim=-1)


def log_mean(scores: Tensor) -> Tensor:
    """(..., N, C) scores of N views to the logarithm of their mean probability, (..., C)."""
    log = scores.log_softmax(dim=-1).logsumexp(dim=-2) - math.log(scores.shape[-2])
    return log.clamp(min=torch.finfo(log.dtype).min)


def confident(scores: Tensor, rho: float) -> Tensor:
    """Which views are the surest: the ``max(1, floor(rho N))`` of least entropy.

    Args:
        scores: (..., N, C).
        rho: The share that is kept.

    Returns:
        Their numbers, (..., k), the surest first; of views that are equally sure, the first.
    """
    count = max(1, math.floor(rho * scores.shape[-2] + 1e-9))
    return entropy(scores).argsort(dim=-1, stable=True)[..., :count]
