"""What is done at test time: the interface."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from selfprompt.data.views.base import Variation
from selfprompt.errors import UserError
from selfprompt.inputs import Inputs, count, take
from selfprompt.model import PromptedModel

AT_ONCE = 512
"""Views that a batch holds."""
FORWARD = 32
"""Views that run through a tower at a time."""


class Adaptation(BaseModel, ABC):
    """A frozen description of what is done for one input, of which several views are seen and no label.

    Args:
        views: Views N of each input: the plain one, and random ones.
        scale: The least share of an image's area that a random crop shows.
        flip: Whether half of the crops are mirrored; false where a mirror image is of another class, as of digits.
        seed: Of the views.

    Attributes:
        name: The name by which users ask for it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: ClassVar[str]
    views: int = Field(default=64, ge=2)
    scale: float = Field(default=0.08, gt=0, le=1)
    flip: bool = True
    seed: int = Field(default=0, ge=0, lt=2**32)

    @abstractmethod
    def adapted(self, model: PromptedModel) -> Adapted:
        """A model, on its device, as it answers when this is done.

        Raises:
            UserError: It has nothing that could be adapted.
        """

    @property
    def variation(self) -> Variation:
        """How views differ."""
        return Variation(self.views, self.scale, self.flip, self.seed)

    @property
    def batch_size(self) -> int:
        """Inputs that are asked together."""
        return max(1, AT_ONCE // self.views)

    def describe(self) -> dict[str, Any]:
        """Name and fields, as results have them."""
        return {"name": self.name, **self.model_dump(mode="json")}


class Adapted(nn.Module, ABC):
    """A model that is adapted to each input by itself; it is afterwards as it was, to the bit.

    Args:
        model: In eval mode.
        views: Views N of each input.
    """

    def __init__(self, model: PromptedModel, views: int) -> None:
        super().__init__()
        if model.multi_label:
            raise UserError("Adaptations seek the one class that an image is surest of: leave --adapt out.")
        self.model, self.views = model, views

    @abstractmethod
    def forward(self, inputs: Inputs) -> Tensor:
        """The scores (R, C) of R inputs.

        Args:
            inputs: N views of each, one input's after another's, the plain one first.
        """

    def probabilities(self, logits: Tensor) -> Tensor:
        """See `PromptedModel.probabilities`: the temperature is that of plain answers."""
        return self.model.probabilities(logits)

    @contextmanager
    def folded(self) -> Iterator[None]:
        """Inside, what the head makes of no input is computed once: no weight may change."""
        with self.model.head.folded():
            yield

    def of_each(self, function: Callable[[Inputs], Tensor], inputs: Inputs) -> Tensor:
        """What a function makes of R N inputs, some at a time, as (R, N, ...) in float32, without gradients."""
        with torch.no_grad():
            starts = range(0, count(inputs), FORWARD)
            found = [function(take(inputs, slice(start, start + FORWARD))).float() for start in starts]
        return torch.cat(found).unflatten(0, (-1, self.views))


def of_views(values: Tensor, index: Tensor) -> Tensor:
    """Of (R, N, D) values of views those at (R, k), as (R, k, D)."""
    return values.take_along_dim(index[..., None], dim=1)
