"""Any start, brought to one scale."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from selfprompt.backbones.base import Backbone
from selfprompt.inputs import Inputs
from selfprompt.prompts.initialization.base import Initialization, Prompts


@dataclass(frozen=True)
class Rescaled(Initialization):
    """Another start with each layer scaled to one root mean square (ours; no paper's).

    A deep prompt meets a pre-norm block's LayerNorm first, so this changes outputs by no more than that norm's
    epsilon does, but it sets how far one optimiser step of a given learning rate moves the prompt. With prompts that
    flow as tokens (shallow, or an averaging readout) and with post-norm blocks it changes outputs, too.

    Args:
        start: The start.
        rms: Root mean square of each layer's values.
    """

    start: Initialization
    rms: float

    @property
    def needs_data(self) -> bool:  # type: ignore[override]
        """As the start does."""
        return self.start.needs_data

    def prepare(
        self, backbone: Backbone, batches: Iterable[Inputs], layers: int, num_prompts: int, seed: int
    ) -> Prompts:
        found = self.start.prepare(backbone, batches, layers, num_prompts, seed)
        now = found.values.square().mean(dim=(1, 2), keepdim=True).sqrt()
        return replace(found, values=found.values * (self.rms / now.clamp(min=1e-12)))
