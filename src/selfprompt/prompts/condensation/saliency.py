"""Keep the prompts that matter, and take the others away."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from selfprompt.backbones.base import Backbone, watching
from selfprompt.errors import UserError
from selfprompt.inputs import Batch
from selfprompt.prompts.condensation.base import Condensation
from selfprompt.prompts.insertion.prompted import PromptInsertion


@dataclass(frozen=True)
class Saliency(Condensation):
    """Prompt Condensation (Kim et al., "Do We Really Need a Large Number of Visual Prompts?", arXiv 2305.17223).

    Train, score every prompt by a gradient, rank all prompts of all layers together, keep the best share, tune what
    is kept. A reconstruction: we had the abstract and summaries, which state these four stages and no formula, and no
    code is public. Ours are: the score (see `prompt_scores`), scoring on the training images in
    evaluation mode, the order of ties (layer, then index), no least number at a layer, and a last stage with the same
    recipe, from the trained values, with the head. Both trainings share the recipe's epochs, the last one having a
    third, so that a condensed method trains no longer than others (the paper's tuning comes after a whole training).

    Args:
        keep: Share of the prompts that stay.
    """

    keep: float
    rewinds = False

    def share(self, epochs: int) -> tuple[int, int]:
        if epochs < 2:
            raise UserError(
                "Condensation trains twice within a recipe's epochs: use --epochs 2 or more, or --keep 1."
            )
        last = round(epochs / 3)
        return epochs - last, last

    def apply(
        self,
        insertion: PromptInsertion,
        backbone: Backbone,
        losses: Callable[[Batch], Tensor],
        batches: Iterable[Batch],
    ) -> Tensor:
        kept = keep_best(prompt_scores(insertion, backbone, losses, batches), self.keep)
        insertion.condense(kept.to(insertion.prompts.device))
        return kept


def prompt_scores(
    insertion: PromptInsertion,
    backbone: Backbone,
    losses: Callable[[Batch], Tensor],
    batches: Iterable[Batch],
) -> Tensor:
    """What the loss would change if a prompt were taken out of all attention and out of the feature, to first order.

    That is ``|dL/dm|`` at ``m = 1``, with ``m`` a factor on the prompt's share before the softmax's sum,
    ``m exp(q k / sqrt(d))``; at ``m = 0`` the prompt is gone. A factor on the prompt itself would say nothing, since
    the LayerNorm before keys and values undoes it: ``<dL/dp, p>`` is zero up to the norm's epsilon. A readout that
    averages prompts' outputs is taken as one more attention, with equal weights.

    Args:
        insertion: Owns the prompts.
        backbone: What they prompt.
        losses: A batch to its losses (B,), through the insertion, in evaluation mode.
        batches: Of the training examples.

    Returns:
        (layers, P) in float64.
    """
    layers, count, _ = insertion.prompts.shape
    keys = insertion.prompt_keys(backbone.num_prefix)
    total = torch.zeros(layers, count, dtype=torch.float64)
    trained = insertion.prompts.requires_grad
    insertion.prompts.requires_grad_()
    try:
        with watching(backbone) as attention:
            for batch in batches:
                for weights in attention.values():
                    weights.clear()
                loss = losses(batch).sum()
                mean, last = attention["readout"], attention["prompts"] or attention["tokens"]
                gradients = torch.autograd.grad(loss, last + mean)
                for i, (weights, gradient) in enumerate(zip(last, gradients)):
                    share = insertion.share_gradient(weights.detach().float(), gradient.float())[keys]
                    total[min(i, layers - 1)] += share.cpu().double()
                if mean and mean[0].shape[1] == backbone.num_patches + count:
                    others = (mean[0] * gradients[-1]).sum(dim=-1, keepdim=True)
                    share = (mean[0] * (gradients[-1] - others)).sum(dim=0)[:count]
                    total[-1] += share.detach().cpu().double()
    finally:
        insertion.prompts.requires_grad_(trained)
    return total.abs()


def keep_best(scores: Tensor, share: float) -> Tensor:
    """(layers, P) booleans of the ``ceil(share layers P)`` largest scores over all layers."""
    order = scores.flatten().argsort(descending=True, stable=True)
    kept = torch.zeros(scores.numel(), dtype=torch.bool)
    kept[order[: math.ceil(share * scores.numel() - 1e-9)]] = True
    return kept.view_as(scores)
