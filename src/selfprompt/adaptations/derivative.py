"""How classes' features change with the prompts that their texts share: stored, a first gradient is one product."""

from __future__ import annotations

import torch
from torch import Tensor

from selfprompt.heads.class_text import ClassText
from selfprompt.objectives.entropy import entropy, log_mean
from selfprompt.prompts.insertion.words import AmongWords
from selfprompt.tower import Tower

EARNED = 2
"""Inputs that are answered without it, for each of the features: it costs about what they have then cost."""
LARGEST = 2**26
"""Numbers that it may have."""


def fits(head: ClassText) -> bool:
    """Whether it is small enough to be kept."""
    prompts = head.text.insertion.prompts
    assert prompts is not None
    return head.num_classes * head.tower.num_features * prompts.numel() <= LARGEST


def derivative(head: ClassText) -> Tensor:
    """dw/dV, (C F, P D), of the classes' unit features w (C, F) with respect to the prompts V (P, D).

    Each class has a copy of the prompts, so that one backward pass finds one coordinate's gradient in all classes.
    """
    prompts = head.text.insertion.prompts
    assert prompts is not None
    own = AmongWords(*prompts.shape[1:], classes=head.num_classes).to(prompts.device)
    own.prompts.data.copy_(prompts.detach().expand_as(own.prompts))
    apart = ClassText(
        Tower(head.tower, own, head.text.readout, head.text.prepare), head.names, head.patterns, head.scale
    )
    with torch.enable_grad(), torch.autocast(prompts.device.type, enabled=False):
        each = apart.weights().unbind(dim=1)
        found = [torch.autograd.grad(one.sum(), own.prompts, retain_graph=True)[0] for one in each]
    return torch.stack(found, dim=1).flatten(2).flatten(0, 1)


def first_gradient(head: ClassText, kept: Tensor, derivative: Tensor) -> Tensor:
    """The gradients (R, P, D) of the entropies of R inputs' mean probabilities, at the prompts as they are.

    Args:
        head: Of the classes' texts.
        kept: (R, k, F) features of views.
        derivative: See `derivative`.
    """
    prompts = head.text.insertion.prompts
    assert prompts is not None
    with torch.enable_grad(), torch.autocast(kept.device.type, enabled=False):
        weights = head.weights().detach().expand(len(kept), -1, -1).requires_grad_()
        loss = entropy(log_mean(head.scores(kept, weights))).sum()
        (gradient,) = torch.autograd.grad(loss, weights)
        return (gradient.flatten(1) @ derivative).unflatten(1, prompts.shape[1:])
