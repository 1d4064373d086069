"""Prompts with a factor on every token and every segment of a token."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from selfprompt.errors import UserError
from selfprompt.prompts.parametrization.base import Parametrization


class Masked(Parametrization):
    """E2VPT's masks (Han et al., ICCV 2023, arXiv 2307.13770), shared by all layers.

        ``p_j -> a_j p_j tile(b_j)``

    Segment r of R owns the channels r, r + R, r + 2 R, ... of a prompt. Both masks start at 1 and are trained as
    factors (as published) until they are set, and get no gradient from then on.

    Args:
        num_prompts: Prompts P of each layer.
        width: Token width D.
        segments: Segments R.

    Shape: tokens (P,), segments (P, R), fixed ().
    """

    def __init__(self, num_prompts: int, width: int, segments: int = 16) -> None:
        super().__init__()
        if width % segments:
            raise UserError(f"Prompts of width {width} cannot be cut into {segments} equal segments.")
        self.tokens = nn.Parameter(torch.ones(num_prompts))
        self.segments = nn.Parameter(torch.ones(num_prompts, segments))
        self.fixed: Tensor
        self.register_buffer("fixed", torch.tensor(False))

    def forward(self, prompts: Float[Tensor, "*batch prompts width"]) -> Float[Tensor, "*batch prompts width"]:
        """The effective prompts of one layer."""
        tokens, segments = self.tokens, self.segments
        if self.fixed:
            tokens, segments = tokens.detach(), segments.detach()
        return prompts * tokens[:, None] * segments.repeat(1, prompts.shape[-1] // segments.shape[1])

    def idle(self, prompts: Float[Tensor, "layers prompts width"]) -> int:
        if not self.fixed:
            return 0
        kept = (
            int((self.tokens[:, None] * self.segments).count_nonzero()) * prompts.shape[-1] // self.segments.shape[1]
        )
        masked = len(prompts) * (prompts[0].numel() - kept)
        return masked + self.tokens.numel() + self.segments.numel()

    @torch.no_grad()
    def fix(self, tokens: Float[Tensor, " prompts"], segments: Float[Tensor, "prompts segments"]) -> None:
        """Set both masks for good."""
        self.tokens.copy_(tokens)
        self.segments.copy_(segments)
        self.fixed.fill_(True)
