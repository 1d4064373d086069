"""Passes over the training images that train nothing: where prompts start, and which stay."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from selfprompt.assembly import build
from selfprompt.backbones.base import UNEDITED
from selfprompt.data.batches import Batches, in_order
from selfprompt.inputs import Text, move, place, size
from selfprompt.methods.base import PromptMethod
from selfprompt.model import PromptedModel
from selfprompt.objectives.base import Objective
from selfprompt.prompts.condensation.base import Condensation
from selfprompt.prompts.insertion.prompted import PromptInsertion
from selfprompt.watch import counted


def start_prompts(model: PromptedModel, train: Batches, seed: int, batch_size: int = 32) -> None:
    """Start the model's prompts from the training images, or the share of them that its method asks for.

    The images are not augmented: a prompt's source is a patch of the image as it can be shown (see `Prototypes`).
    """
    count = len(train)
    share = model.method.prototype_share if isinstance(model.method, PromptMethod) else 1.0
    chosen = np.arange(count)
    if share < 1:
        few = max(1, round(share * count))
        chosen = np.sort(np.random.default_rng(seed).choice(count, size=few, replace=False))
    order = [chosen[batch] for batch in in_order(len(chosen), batch_size)]
    model.initialize(counted(train.batches(order, epoch=None), "prototypes", len(chosen), size), seed=seed)
    if model.sources is not None:
        model.sources[..., 0] = torch.from_numpy(chosen)[model.sources[..., 0]]


@torch.no_grad()
def frozen_states(model: PromptedModel, train: Batches, batch_size: int) -> Tensor:
    """(N, F) features of the training examples by the backbone without prompts: of texts, the mean of their words."""
    backbone, rows = model.backbone, []
    device = next(model.parameters()).device
    for inputs, _ in counted(train.batches(in_order(len(train), batch_size), None), "features", len(train), size):
        inputs = move(backbone.as_input(inputs, model.normalize), device)
        if isinstance(inputs, Text):  # where prompts would stand there is nothing
            inputs = Text(inputs.ids, inputs.mask & (inputs.ids >= 0), inputs.at)
        rows.append(backbone.readout(backbone.run(inputs, UNEDITED)).float().cpu())
    return torch.cat(rows)


def condense(
    model: PromptedModel, condensation: Condensation, objective: Objective, train: Batches, batch_size: int
) -> None:
    """Let a condensation decide on the training images, by a stage's objective, which of the prompts stay."""
    insertion = model.insertion
    assert isinstance(insertion, PromptInsertion)
    device = next(model.parameters()).device
    model.eval()
    model.tower.checkpointing = False
    order = in_order(len(train), batch_size)
    told = counted(train.batches(order), "condensation", len(train), size)
    batches = (place(batch, device) for batch in told)
    kept = condensation.apply(insertion, model.prompted.backbone, lambda batch: objective(model, batch), batches)
    if model.sources is not None and kept is not None:
        model.sources = torch.where(kept[..., None], model.sources, -1)


def rewind(model: PromptedModel, train: Batches, seed: int) -> None:
    """Start prompts and head anew, from the next seed; what the prompts are made of stays."""
    names = model.class_names
    fresh = build(model.method, model.source, model.num_classes, model.protocol, names, seed + 1)
    fresh.to(next(model.parameters()).device)
    start_prompts(fresh, train, seed + 1)
    stay = {k: v for k, v in model.adapter_state().items() if "parametrization" in k}
    model.load_adapter_state(fresh.adapter_state() | stay)
    model.sources = fresh.sources


def is_condensed(model: PromptedModel) -> bool:
    """Whether prompts were taken away already."""
    return isinstance(model.insertion, PromptInsertion) and model.insertion.counts is not None
