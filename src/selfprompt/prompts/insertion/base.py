"""How prompts, or whatever else is trained, meet the tokens: the interface."""

from __future__ import annotations

from abc import ABC
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from selfprompt.backbones.base import Backbone, Edits
from selfprompt.marks import optional


class Insertion(nn.Module, Edits, ABC):
    """What edits a forward pass, with whatever is trained for it.

    Attributes:
        prompts: The trained prompts; None where there are none.
        dropout: Of prompts, in training.
    """

    prompts: nn.Parameter | None
    dropout: float = 0.0

    @property
    @optional
    def num_prompts(self) -> int:
        """Prompts of the block that has most of them."""
        return 0

    @property
    @optional
    def idle(self) -> int:
        """How many numbers of its parameters are masked or fixed, and so not trained."""
        return 0

    @optional
    def attach(self, backbone: Backbone, seed: int) -> None:
        """Once, when the model is built: start what is trained beside prompts, within its own backbone or here.

        Args:
            backbone: The model's private copy, frozen.
            seed: Seed of every draw.
        """

    @optional
    @contextmanager
    def folded(self, backbone: Backbone) -> Iterator[None]:
        """Inside, what depends on no input is computed once: neither prompts nor backbone may change there."""
        yield


@contextmanager
def drawing(seed: int) -> Iterator[None]:
    """Inside, torch draws on the CPU from a seed; afterwards its generators are as they were."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield
