"""Deep prompts, and beside them free keys and values in every attention."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from typing_extensions import Unpack

from selfprompt.backbones.base import Backbone, KeysValues
from selfprompt.prompts.insertion.deep import AtEveryBlock, OfDeepPrompts


class KeyValue(AtEveryBlock):
    """E2VPT's prompts (Han et al., "E2VPT: An Effective and Efficient Approach", ICCV 2023, arXiv 2307.13770).

    Beside the keys and values of deep prompts ``P_i`` every head sees trained ones ``T_i`` that no projection made,
    the same tensor as keys and as values:

        ``Attention(Q(x), [T_i ; K(P_i) ; K(x)], [T_i ; V(P_i) ; V(x)])``

    ``T_i`` starts from U(-b, b), ``b = sqrt(6 / (P_kv d))``, d the width of a head (Kaiming, as published); until
    `attach` it is 0. Zero values are not neutral: they take attention.

    Args:
        depth, num_prompts, width, keep_outputs, dropout, parametrization: See `AtEveryBlock`.
        heads, head_width: Heads of keys and values, and the width d of a key.
        num_key_values: Keys and values P_kv of each head and block; 0 leaves deep prompts alone.

    Shape: prompts (depth, P, D), key_values (depth, heads, P_kv, d).
    """

    def __init__(
        self,
        depth: int,
        num_prompts: int,
        width: int,
        *,
        heads: int,
        head_width: int,
        num_key_values: int = 5,
        **rest: Unpack[OfDeepPrompts],
    ) -> None:
        super().__init__(depth, num_prompts, width, **rest)
        self.key_values = nn.Parameter(torch.zeros(depth, heads, num_key_values, head_width))

    @torch.no_grad()
    def attach(self, backbone: Backbone, seed: int) -> None:
        count, width = self.key_values.shape[-2:]
        draw = torch.rand(self.key_values.shape, generator=torch.Generator().manual_seed(seed))
        self.key_values.copy_((2 * draw - 1) * math.sqrt(6 / max(1, count * width)))

    @property
    def free_keys(self) -> int:
        return self.key_values.shape[2]

    def project(self, backbone: Backbone, i: int, prompts: Float[Tensor, "*batch prompts width"]) -> KeysValues:
        keys, values = backbone.keys_values(i, prompts)
        free = self.key_values[i].to(keys.dtype).expand(*keys.shape[:-2], -1, -1)
        return torch.cat([free, keys], dim=-2), torch.cat([free, values], dim=-2)
