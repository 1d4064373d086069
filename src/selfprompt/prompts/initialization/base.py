"""Where prompts start: the interface, and what it gives."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass

from jaxtyping import Float, Int64
from torch import Tensor

from selfprompt.backbones.base import Backbone
from selfprompt.inputs import Inputs


@dataclass(frozen=True)
class Prompts:
    """Starting values, and where they came from.

    Args:
        values: (layers, P, D).
        sources: (layers, P, 2) int64, the image's index in the stream and the patch's position in raster
            order; None where a prompt is no single token's copy.
    """

    values: Float[Tensor, "layers prompts width"]
    sources: Int64[Tensor, "layers prompts 2"] | None = None


class Initialization(ABC):
    """Where prompts start.

    Attributes:
        needs_data: Whether `prepare` reads images.
    """

    needs_data: bool

    @abstractmethod
    def prepare(
        self, backbone: Backbone, batches: Iterable[Inputs], layers: int, num_prompts: int, seed: int
    ) -> Prompts:
        """Make starting values in one pass over ``batches``.

        Args:
            backbone: The frozen backbone.
            batches: (B, 3, H, W) normalised images on the backbone's device; left unread without `needs_data`.
            layers: Blocks that get prompts of their own, counted from block 0.
            num_prompts: Prompts P of each layer.
            seed: Seed of every draw.
        """
