"""Prompts as a small memory beside every attention."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from typing_extensions import Unpack

from selfprompt.backbones.base import Backbone, BlockEdit, Context
from selfprompt.inputs import count
from selfprompt.prompts.insertion.prompted import OfPrompts, PromptInsertion


class Beside(PromptInsertion):
    """APT (Wu et al., "Approximated Prompt Tuning for Vision-Language Pre-trained Models", arXiv 2306.15706).

    What prompts add inside attention is computed beside it, from what the attention sees, ``h``, and its output,
    ``y``. With prompts P, a low-rank map to keys, and no softmax:

        ``K = P + (P A^T) B^T``,  ``s = ReLU(h K^T)``,  ``out = exp(g) (y + w s P)``,  ``w = max_j s_j``

    where no gradient flows through ``w``. As intended by the official code, A starts from N(0, 1), B and g from 0
    (its backbones draw A and B anew afterwards); until `attach`, A is 0. It is no identity at its start, as P is
    not 0.

    Args:
        depth: Blocks of the backbone.
        num_prompts, width, dropout, parametrization: See `PromptInsertion`.
        rank: Rank r of the map to keys.

    Shape: prompts (depth, P, D), down (depth, r, D), up (depth, D, r), scale (depth,).
    """

    by_token = True

    def __init__(self, depth: int, num_prompts: int, width: int, *, rank: int = 4, **rest: Unpack[OfPrompts]) -> None:
        super().__init__(depth, num_prompts, width, **rest)
        self.down = nn.Parameter(torch.zeros(depth, rank, width))
        self.up = nn.Parameter(torch.zeros(depth, width, rank))
        self.scale = nn.Parameter(torch.zeros(depth))

    @torch.no_grad()
    def attach(self, backbone: Backbone, seed: int) -> None:
        self.down.copy_(torch.randn(self.down.shape, generator=torch.Generator().manual_seed(seed)))

    def keys_before(self, num_prefix: int) -> int:
        return 0

    def share_gradient(
        self,
        weights: Float[Tensor, "batch heads queries keys"],
        gradient: Float[Tensor, "batch heads queries keys"],
    ) -> Float[Tensor, " keys"]:
        """There is no softmax whose sum the other keys would fill."""
        return (weights * gradient).sum(dim=(0, 1, 2))

    def edit(self, backbone: Backbone, i: int, context: Context) -> BlockEdit:
        prompts = self.layer(i, count(context.inputs))

        def branch(
            h: Float[Tensor, "batch tokens width"], y: Float[Tensor, "batch tokens width"]
        ) -> Float[Tensor, "batch tokens width"]:
            added = y + self.memory(backbone, i, h, prompts) if prompts.shape[-2] else y
            return self.scale[i].exp() * added

        return BlockEdit(branch=branch)

    def memory(
        self,
        backbone: Backbone,
        i: int,
        h: Float[Tensor, "batch tokens width"],
        prompts: Float[Tensor, "*batch prompts width"],
    ) -> Float[Tensor, "batch tokens width"]:
        """What (P, D) or (B, P, D) prompts add for (B, N, D) tokens."""
        keys = prompts + prompts @ self.down[i].T @ self.up[i].T
        scores = (h @ keys.transpose(-2, -1)).relu()
        if backbone.watch is not None:
            head = scores[:, None]
            backbone.watch("prompts", head)
            scores = head[:, 0]
        return scores.amax(dim=-1, keepdim=True).detach() * (scores @ prompts)
