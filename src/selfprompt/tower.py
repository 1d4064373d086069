"""A backbone with prompts: inputs to features. Read this first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jaxtyping import Float, Int
from torch import Tensor, nn

from selfprompt.backbones.base import Backbone
from selfprompt.backbones.info import Readout
from selfprompt.inputs import Inputs
from selfprompt.prompts.insertion.base import Insertion


class Tower(nn.Module):
    """One transformer, the way prompts meet its tokens, and the readout.

    Args:
        backbone: The frozen transformer.
        insertion: What is trained within it; owns the prompts.
        readout: What the readout takes (see `Backbone.readout`).
        prepare: What happens to inputs as they come, on their device: images of uint8 are normalised.

    Attributes:
        checkpointing: Whether blocks keep no activations for the backward pass (see `Recipe`).

    Shape: B inputs to (B, F).
    """

    def __init__(
        self, backbone: Backbone, insertion: Insertion, readout: Readout, prepare: Callable[[Any], Inputs]
    ) -> None:
        super().__init__()
        self.backbone, self.insertion, self.prepare = backbone, insertion, prepare
        self.readout: Readout = readout
        self.checkpointing = False

    def forward(self, inputs: Inputs, rows: Int[Tensor, " batch"] | None = None) -> Float[Tensor, "batch features"]:
        """Features; ``rows`` are told to the insertion (see `Context`)."""
        inputs = self.backbone.as_input(inputs, self.prepare)
        # without prompts every block is whole, so that each sum is the backbone's own, to the bit
        read = self.backbone.read_by(self.readout) if self.insertion.num_prompts else None
        tokens = self.backbone.run(inputs, self.insertion, rows=rows, read=read, checkpointing=self.checkpointing)
        return self.backbone.readout(tokens, self.readout)
