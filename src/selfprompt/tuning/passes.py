"""Passes over the training images that train nothing: where prompts start, and which of them are kept."""

from __future__ import annotations

import numpy as np
import torch

from selfprompt.data.loading import ImageTensors, in_order
from selfprompt.model import PromptedModel
from selfprompt.prompts.base import PromptInsertion
from selfprompt.prompts.condensation import keep_best, prompt_scores


def start_prompts(model: PromptedModel, train: ImageTensors, seed: int, batch_size: int = 32) -> None:
    """Start the model's prompts from the training images, or the share of them that its method asks for."""
    count = len(train)
    share = model.method.get("prototype_share", 1.0)
    chosen = np.arange(count)
    if share < 1:
        size = max(1, round(share * count))
        chosen = np.sort(np.random.default_rng(seed).choice(count, size=size, replace=False))
    order = [chosen[batch] for batch in in_order(len(chosen), batch_size)]
    model.initialize(train.batches(order), seed=seed)
    if model.sources is not None:
        model.sources[..., 0] = torch.from_numpy(chosen)[model.sources[..., 0]]


def condense(model: PromptedModel, train: ImageTensors, share: float, batch_size: int) -> None:
    """Keep the share of the model's prompts that matters most on the training images."""
    insertion = model.insertion
    assert isinstance(insertion, PromptInsertion)
    device = next(model.parameters()).device
    model.eval()
    order = in_order(len(train), batch_size)
    batches = ((images.to(device), labels.to(device)) for images, labels in train.batches(order))
    kept = keep_best(prompt_scores(insertion, model, batches), share)
    insertion.condense(kept.to(device))
    if model.sources is not None:
        model.sources = torch.where(kept[..., None], model.sources, -1)


def is_condensed(model: PromptedModel) -> bool:
    """Whether prompts were taken away already."""
    return isinstance(model.insertion, PromptInsertion) and model.insertion.counts is not None
