"""What every analysis looks at: the prompts that a block meets."""

from __future__ import annotations

import torch
from torch import Tensor

from selfprompt.errors import UserError
from selfprompt.model import PromptedModel
from selfprompt.prompts.insertion.prompted import PromptInsertion


@torch.no_grad()
def effective_prompts(model: PromptedModel, insertion: PromptInsertion | None = None) -> list[Tensor]:
    """The (P, D) prompts of each layer as they meet the tokens: after parametrization, masks and condensation.

    Args:
        model: A model with prompts.
        insertion: Prompts that are looked at in the place of the model's own.

    Raises:
        UserError: The method has no prompts.
    """
    insertion = insertion or prompted(model)
    layers = insertion.prompts.shape[0] if insertion.counts is None else len(insertion.counts)
    training, insertion.training = insertion.training, False
    prompts = [insertion.layer(i, 1).detach() for i in range(layers)]
    insertion.training = training
    return prompts


def has_prompts(model: PromptedModel) -> bool:
    """Whether there are prompts among the tokens of the inputs; those among classes' words meet none."""
    insertion = model.tower.insertion
    return isinstance(insertion, PromptInsertion) and insertion.num_prompts > 0


def prompted(model: PromptedModel) -> PromptInsertion:
    """The insertion of the inputs' tower, which must own prompts.

    Raises:
        UserError: The method has no prompts, or none there.
    """
    insertion = model.tower.insertion
    if not has_prompts(model):
        raise UserError(f"Method {model.method.name} has no prompts to look at.")
    assert isinstance(insertion, PromptInsertion)
    return insertion
