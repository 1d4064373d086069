"""The two things that every analysis looks at: the patches that a block sees, and the prompts that it meets."""

from __future__ import annotations

import torch
from torch import Tensor

from selfprompt.backbones.base import Backbone
from selfprompt.errors import UserError
from selfprompt.model import PromptedModel
from selfprompt.prompts.base import PromptInsertion


@torch.no_grad()
def patch_streams(backbone: Backbone, images: Tensor, layers: int) -> list[Tensor]:
    """The patch tokens from which self-prompts of each layer are drawn, in the frozen backbone without prompts.

    Args:
        backbone: The frozen backbone.
        images: (B, 3, H, W), normalised.
        layers: How many, counted from block 0: patch embeddings without positions there, then what enters a block.

    Returns:
        (B, M, D) for each layer.
    """
    patches = [backbone.embed_patches(images)]
    tokens = backbone.embed(images)
    for i in range(layers - 1):
        tokens = backbone.block(i, tokens)
        patches.append(tokens.x[:, tokens.num_prefix :])
    return patches


@torch.no_grad()
def effective_prompts(model: PromptedModel) -> list[Tensor]:
    """The (P, D) prompts of each layer as they meet the tokens: after parametrization, masks and condensation.

    Raises:
        UserError: The method has no prompts.
    """
    insertion = prompted(model)
    layers = insertion.prompts.shape[0] if insertion.counts is None else len(insertion.counts)
    training, insertion.training = insertion.training, False
    prompts = [insertion.layer(i, 1).detach() for i in range(layers)]
    insertion.training = training
    return prompts


def prompted(model: PromptedModel) -> PromptInsertion:
    """The model's insertion, which must own prompts.

    Raises:
        UserError: The method has no prompts.
    """
    if not isinstance(model.insertion, PromptInsertion) or not model.insertion.num_prompts:
        raise UserError(f"Method {model.method['name']} has no prompts to look at.")
    return model.insertion
