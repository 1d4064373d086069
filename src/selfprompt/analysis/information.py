"""How much prompts share with an image's patches."""

from __future__ import annotations

import math

import torch
from torch import Tensor


@torch.no_grad()
def mutual_information(prompts: Tensor, patches: Tensor) -> Tensor:
    """Normalised mutual information between prompts and the patch tokens of each image.

    SPT ("Revisiting the Power of Prompt for Visual Tuning", ICML 2024, arXiv 2402.02382, Figure 1) reports that it
    rises while prompts are trained. How it was estimated is not public; this is our choice. An affinity is read as a
    conditional distribution,

        ``a_ij = softmax_j(p_i . e_j / sqrt(D))``,  ``p(i, j) = a_ij / P``,  ``NMI = I(i; j) / sqrt(H(i) H(j))``

    so that it is 0 where all prompts look alike on the patches.

    Args:
        prompts: (P, D).
        patches: (B, M, D), of the layer that the prompts belong to.

    Returns:
        (B,) between 0 and 1; 0 for a single prompt.
    """
    count, width = prompts.shape
    if count < 2:
        return patches.new_zeros(len(patches))
    log_a = (prompts.double() @ patches.double().transpose(1, 2) / math.sqrt(width)).log_softmax(dim=-1)
    log_j = log_a.logsumexp(dim=1) - math.log(count)
    a, marginal = log_a.exp(), log_j.exp()
    information = (a * (log_a - log_j[:, None])).sum(dim=-1).mean(dim=-1)
    entropy = -(marginal * log_j).sum(dim=-1)
    return (information / (math.log(count) * entropy).sqrt()).clamp(min=0).to(patches.dtype)
