"""Mask prompts and segments of prompts, and train the others anew."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from selfprompt.backbones.base import Backbone
from selfprompt.inputs import Batch
from selfprompt.prompts.condensation.base import Condensation
from selfprompt.prompts.insertion.prompted import PromptInsertion
from selfprompt.prompts.parametrization.masked import Masked

LEAST_TOKENS, LEAST_SEGMENTS = 1, 4


@dataclass(frozen=True)
class MaskPruning(Condensation):
    """E2VPT's pruning and rewinding (Han et al., ICCV 2023, arXiv 2307.13770).

    After training with masks (`Masked`), the importance of a token, and then of each segment of a token, is the mean
    over training batches of the loss's gradient with respect to its mask. The least important are masked with 0 for
    good, in all layers at once, and everything is trained again from a fresh start. A masked prompt is still a token:
    numbers are saved, no time.

    To first order, masking changes the loss by minus the gradient. ``signed`` drops the lowest signed gradients
    first, as the published code does: those whose removal would raise the loss most; ``abs`` (the default) drops the
    smallest magnitudes. Where a LayerNorm follows, it undoes the scale of a whole prompt, so that the gradient of a
    token's mask is zero up to its epsilon, and the order of tokens close to chance; that of segments is not. The
    paper searches both shares in 10 to 90 % for every task, at 81 trainings.

    Args:
        tokens: Share of the prompts that are masked; one stays.
        segments: Share of each prompt's segments that are masked; four stay.
        importance: ``abs`` or ``signed``.
    """

    tokens: float
    segments: float
    importance: Literal["abs", "signed"] = "abs"
    rewinds = True

    def share(self, epochs: int) -> tuple[int, int]:
        """Both trainings are whole ones, as published: twice what other methods have, which tables say."""
        return epochs, epochs

    def apply(
        self,
        insertion: PromptInsertion,
        backbone: Backbone,
        losses: Callable[[Batch], Tensor],
        batches: Iterable[Batch],
    ) -> None:
        masked = insertion.parametrization
        assert isinstance(masked, Masked)
        masks = [masked.tokens.requires_grad_(), masked.segments.requires_grad_()]
        gradients = [torch.zeros_like(mask) for mask in masks]
        count = 0
        for batch in batches:
            found = torch.autograd.grad(losses(batch).mean(), masks)
            gradients = [total + new for total, new in zip(gradients, found)]
            count += 1
        tokens, segments = (g / count if self.importance == "signed" else (g / count).abs() for g in gradients)
        keep_tokens = max(LEAST_TOKENS, len(tokens) - int(self.tokens * len(tokens) + 1e-9))
        keep_segments = max(LEAST_SEGMENTS, segments.shape[1] - int(self.segments * segments.shape[1] + 1e-9))
        masked.fix(largest(tokens, keep_tokens), largest(segments, keep_segments))


def largest(importance: Tensor, count: int) -> Tensor:
    """1 at the ``count`` largest along the last dimension, 0 elsewhere; of equals, the first stay."""
    order = importance.argsort(dim=-1, descending=True, stable=True)[..., :count]
    return torch.zeros_like(importance).scatter_(-1, order, 1.0)
