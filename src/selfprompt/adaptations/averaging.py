"""The mean over views, without any tuning: the control of every adaptation."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field
from torch import Tensor

from selfprompt.adaptations.base import Adaptation, of_each, of_views
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

    def __call__(self, model: PromptedModel, inputs: Inputs) -> Tensor:
        scores = of_each(model, inputs, self.views)
        return log_mean(of_views(scores, confident(scores, self.rho)))


RECORD = Record(
    name="averaging",
    idea="The mean over several views of an image, or over the surest of them.",
    entry="Averaging",
)
