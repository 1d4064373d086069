"""Prompts that tokens read in a second attention of every block."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from selfprompt.backbones.base import PLAIN, Backbone, BlockEdit, Context, KeysValues
from selfprompt.backbones.stepwise import inside
from selfprompt.prompts.insertion.prompted import KeyedInsertion


class CrossAttention(KeyedInsertion):
    """CVPT (Huang et al., "Cross Visual Prompt Tuning", ICCV 2025, arXiv 2408.14961).

    The prompts stay out of the stream. After the attention branch of block ``i`` every token reads them with the
    block's own frozen attention weights, and no normalisation on either side:

        ``x = x + Attention_i(LN(x))``,  ``x = x + CrossAttention_i(x, P_i)``,  ``x = x + MLP_i(LN(x))``

    Zero prompts are not neutral (they add a constant); no prompts are. Where a block has LayerScale, or a norm
    after its attention, these act on the second attention, too (the paper's backbone has neither).

    Args:
        depth: Blocks of the backbone.
        num_prompts, width, dropout, parametrization: See `PromptInsertion`.

    Shape: prompts (depth, P, D).
    """

    def project(self, backbone: Backbone, i: int, prompts: Float[Tensor, "*batch prompts width"]) -> KeysValues:
        return backbone.keys_values(i, prompts, normalize=False)

    def edit(self, backbone: Backbone, i: int, context: Context) -> BlockEdit:
        kv = self.keys_values(backbone, i, context)
        if not kv[0].shape[-2]:
            return PLAIN
        return BlockEdit(between=lambda x: x + inside(backbone).cross_attention(i, x, kv))
