"""How much prompts share with an image's patches, as the block that reads both sees them."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from selfprompt.analysis.effective import effective_prompts, prompted
from selfprompt.backbones.base import Tokens
from selfprompt.backbones.stepwise import inside
from selfprompt.model import PromptedModel
from selfprompt.prompts.insertion.prompted import PromptInsertion


@torch.no_grad()
def shared_information(
    model: PromptedModel, images: Tensor, insertion: PromptInsertion | None = None
) -> list[Tensor]:
    """Mutual information of each layer's effective prompts with the patches that enter its block beside them.

    The stream is the prompted one, and both sides go through the norm that stands before the block's attention, as
    both do inside it: the length of a prompt, which a pre-norm block never sees, has no part. Prompts that skip that
    norm (cvpt's, apt's) are measured behind it as well, by their direction; a post-norm block has none, so that
    lengths count there, as they do for the block.

    Args:
        model: A model with prompts.
        images: (B, 3, H, W), normalised.
        insertion: Prompts that are looked at in the place of the model's own, such as those of an earlier epoch.

    Returns:
        (B,) for each layer; see `mutual_information`.

    Raises:
        UserError: The method has no prompts.
    """
    backbone, insertion = inside(model.backbone.eval()), (insertion or prompted(model)).eval()
    prompts, found = effective_prompts(model, insertion), []

    def seen(i: int, before: Tokens, after: Tokens) -> None:
        patches = before.x[:, -backbone.num_patches :]
        found.append(mutual_information(backbone.normalize(i, prompts[i]), backbone.normalize(i, patches)))

    backbone.run(images, insertion, seen, blocks=len(prompts))
    return found


@torch.no_grad()
def mutual_information(prompts: Tensor, patches: Tensor) -> Tensor:
    """Normalised mutual information between prompts and the patch tokens of each image.

    SPT ("Revisiting the Power of Prompt for Visual Tuning", ICML 2024, arXiv 2402.02382, Figure 1) reports that it
    rises while prompts are trained. How it was estimated is not public; this is our choice. An affinity is read as a
    conditional distribution,

        ``a_ij = softmax_j(p_i . e_j / sqrt(D))``,  ``p(i, j) = a_ij / P``,  ``NMI = I(i; j) / sqrt(H(i) H(j))``

    so that it is 0 where all prompts look alike on the patches. Vectors are taken as they are, and longer ones share
    more: give them as the block sees them (`shared_information` does).

    Args:
        prompts: (P, D).
        patches: (B, M, D), of the layer that the prompts belong to.

    Returns:
        (B,) float32 on the CPU, whatever the tokens' type, between 0 and 1; 0 for a single prompt.
    """
    count, width = prompts.shape
    if count < 2:
        return torch.zeros(len(patches))
    exact, seen = prompts.cpu().double(), patches.cpu().double()
    log_a = (exact @ seen.transpose(1, 2) / math.sqrt(width)).log_softmax(dim=-1)
    log_j = log_a.logsumexp(dim=1) - math.log(count)
    a, marginal = log_a.exp(), log_j.exp()
    information = (a * (log_a - log_j[:, None])).sum(dim=-1).mean(dim=-1)
    entropy = -(marginal * log_j).sum(dim=-1)
    return (information / (math.log(count) * entropy).sqrt()).clamp(min=0).float()
