"""Free keys and values at every block, as if others had stood before the text."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor
from typing_extensions import Unpack

from selfprompt.backbones.base import Backbone, BlockEdit, Context, KeysValues
from selfprompt.prompts.insertion.prompted import KeyedInsertion, OfPrompts


class Past(KeyedInsertion):
    """P-tuning v2 (Liu et al., arXiv 2110.07602) and prefix tuning (Li and Liang, arXiv 2101.00190).

    ``Attention(Q(x), [K_i ; K(x)], [V_i ; V(x)])`` at block ``i``, where ``K_i`` and ``V_i`` are trained themselves
    and no projection of the model makes them: the model's ``past_key_values``, without a cache. They stand outside of
    all positions, so that those of the text stay as they are.

    Args:
        depth: Blocks of the backbone.
        num_prompts, dropout, parametrization: See `PromptInsertion`.
        heads, head_width: Heads of keys and values, and the width d of a key.

    Shape: prompts (depth, P, 2 heads d), keys first.
    """

    by_token = True

    def __init__(
        self, depth: int, num_prompts: int, *, heads: int, head_width: int, **rest: Unpack[OfPrompts]
    ) -> None:
        super().__init__(depth, num_prompts, 2 * heads * head_width, **rest)
        self.shape = 2, heads, head_width

    def attach(self, backbone: Backbone, seed: int) -> None:
        self.draw(seed)

    def project(self, backbone: Backbone, i: int, prompts: Float[Tensor, "*batch prompts width"]) -> KeysValues:
        keys, values = prompts.unflatten(-1, self.shape).movedim(-3, 0).transpose(-3, -2)
        return keys, values

    def edit(self, backbone: Backbone, i: int, context: Context) -> BlockEdit:
        return BlockEdit(extra_kv=self.keys_values(backbone, i, context))
