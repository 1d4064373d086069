"""Prompts that stand among the words of a text."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from selfprompt.backbones.base import Backbone, Context, Edits
from selfprompt.backbones.clip import SLOT
from selfprompt.inputs import Text
from selfprompt.prompts.insertion.prompted import PromptInsertion


class AmongWords(PromptInsertion):
    """Among the words of the text that is classified, as Lester et al., arXiv 2104.08691, or of a class's text: CoOp
    (Zhou et al., "Learning to Prompt for Vision-Language Models", IJCV 2022, arXiv 2109.01134).

    A text has slots, ids below 0, which prompts fill before positions are added: ``[start] v_1 .. v_M name . [end]``.

    Args:
        num_prompts, width, dropout, parametrization: See `PromptInsertion`.
        classes: Classes that have prompts of their own; 1 where all share them.

    Shape: prompts (classes, P, D).
    """

    by_token = True

    def __init__(self, num_prompts: int, width: int, *, classes: int = 1, **rest: Any) -> None:
        super().__init__(classes, num_prompts, width, **rest)

    @property
    def per_class(self) -> bool:
        """Whether each class has prompts of its own."""
        return len(self.prompts) > 1

    @property
    def reads_inputs(self) -> bool:
        """Whether each input has prompts of its own, by its features."""
        return self.parametrization is not None and self.parametrization.reads == "features"

    def attach(self, backbone: Backbone, seed: int) -> None:
        self.draw(seed)

    def of_inputs(self, features: Tensor) -> Tensor | None:
        """Prompts of each input, (B, P, D), by the inputs' unit features (B, F); None where all share the same."""
        return self.layer(0, len(features), features) if self.reads_inputs else None

    def words(self, content: Tensor, context: Context) -> Tensor:
        inputs = context.inputs
        assert isinstance(inputs, Text)
        prompts = self.layer(0, len(content), self.read(0, context))
        if self.per_class:
            if context.rows is None:  # what all texts begin with, before any slot
                return content
            prompts = self.prompts[context.rows]
        return filled(content, inputs, prompts)


class Handed(Edits):
    """Prompts that come from outside: ``context.rows`` says whose a text has.

    Args:
        prompts: (R, P, D).
    """

    by_token = True

    def __init__(self, prompts: Tensor) -> None:
        self.prompts = prompts

    def words(self, content: Tensor, context: Context) -> Tensor:
        assert isinstance(context.inputs, Text)
        assert context.rows is not None
        return filled(content, context.inputs, self.prompts[context.rows])


def filled(content: Tensor, inputs: Text, prompts: Tensor) -> Tensor:
    """(B, L, D) words of texts whose slots (P, D) prompts fill, or each text's own, (B, P, D)."""
    slots = (SLOT - inputs.ids).clamp(min=0)  # the prompt that stands there
    if prompts.dim() == 2:
        own = prompts[slots]
    else:
        own = prompts.gather(1, slots[..., None].expand(-1, -1, prompts.shape[-1]))
    return torch.where((inputs.ids < 0)[..., None], own.to(content.dtype), content)
