"""What each prompt is worth: the loss without it, and its cheap estimate."""

from __future__ import annotations

import copy
from collections.abc import Iterable

import torch
from torch import Tensor

from selfprompt.analysis.effective import prompted
from selfprompt.errors import UserError
from selfprompt.inputs import Batch
from selfprompt.model import PromptedModel
from selfprompt.objectives.labels import Labels, cross_entropy
from selfprompt.prompts.condensation.saliency import prompt_scores
from selfprompt.prompts.insertion.prompted import PromptInsertion


def saliency(model: PromptedModel, batches: Iterable[tuple[Tensor, Tensor]]) -> Tensor:
    """Prompt Condensation's score of every prompt (see `prompt_scores`), in one pass forward and backward.

    Args:
        model: A model with prompts, none of them taken away.
        batches: Images and labels.

    Returns:
        (layers, P): the change of the mean loss, to first order, if the prompt were taken away.

    Raises:
        UserError: The method has no prompts, or was condensed.
    """
    insertion, total = uncondensed(model), 0
    model.eval()

    def counted() -> Iterable[Batch]:
        nonlocal total
        for inputs, labels in batches:
            total += len(labels)
            yield Batch(inputs, labels)

    scores = prompt_scores(insertion, model.backbone, lambda batch: Labels()(model, batch), counted())
    return (scores / max(1, total)).float()


@torch.no_grad()
def leave_one_out(model: PromptedModel, images: Tensor, labels: Tensor) -> Tensor:
    """How much the mean loss rises when a prompt is taken away, for every prompt: layers x P passes.

    Args:
        model: A model with prompts, none of them taken away.
        images: (B, 3, H, W).
        labels: (B,).

    Returns:
        (layers, P); negative where the prompt does harm on these images.

    Raises:
        UserError: The method has no prompts, or was condensed.
    """
    whole = uncondensed(model)
    model.eval()
    layers, count, _ = whole.prompts.shape
    base = cross_entropy(model(images), labels).mean()
    rises = torch.zeros(layers, count)
    try:
        for layer in range(layers):
            for index in range(count):
                kept = torch.ones(layers, count, dtype=torch.bool, device=whole.prompts.device)
                kept[layer, index] = False
                rest = copy.deepcopy(whole)
                rest.condense(kept)
                model.tower.insertion = rest
                rises[layer, index] = cross_entropy(model(images), labels).mean() - base
    finally:
        model.tower.insertion = whole
    return rises


def uncondensed(model: PromptedModel) -> PromptInsertion:
    """The model's insertion, which must have all its prompts."""
    insertion = prompted(model)
    if insertion.counts is not None:
        raise UserError(f"{model.method.name} was condensed: what is left has been scored already.")
    return insertion
