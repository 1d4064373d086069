"""The mean over views, without any tuning: the control of every adaptation."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field
from torch import Tensor

from selfprompt.adaptations.base import Adaptation, Adapted, of_views
from selfprompt.inputs import Inputs
from selfprompt.model import PromptedModel
from selfprompt.objectives.entropy import confident, log_mean
from selfprompt.registry import Record


class Averaging(Adaptation):
    """The mean probability over the views, or over those of which the model is surest.

    The views, and which are kept, are those of `TPT` with the same fields.

    Args:
        rho: The share of the views that is kept, the surest first; at least one.
    """

    name: ClassVar[str] = "averaging"
    rho: float = Field(default=1.0, ge=0, le=1)

    def adapted(self, model: PromptedModel) -> Adapted:
        return Averaged(model, self.views, self.rho)


class Averaged(Adapted):
    """See `Averaging`."""

    def __init__(self, model: PromptedModel, views: int, rho: float) -> None:
        super().__init__(model, views)
        self.rho = rho

    def forward(self, inputs: Inputs) -> Tensor:
        scores = self.of_each(self.model, inputs)
        return log_mean(of_views(scores, confident(scores, self.rho)))


RECORD = Record(
    name="averaging",
    idea="The mean over several views of an image, or over the surest of them.",
    entry="Averaging",
)
