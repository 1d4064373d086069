"""timm's Beit family: BEiT and BEiT v2.

Relative positions (Bao et al., "BEiT", arXiv 2106.08254) add a number to each score, which depends on how far apart
the two patches are, or that one of them is the class token. A prompt stands nowhere: nothing is added to its scores.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from timm.models import beit as timm_beit
from torch import Tensor

from selfprompt.backbones.base import Tokens
from selfprompt.backbones.precision import as_under_autocast
from selfprompt.backbones.timm_images import TimmImages
from selfprompt.inputs import Inputs


class Beit(TimmImages):
    """A timm Beit: relative positions, of each block or shared, and positions added to patches (see `TimmImages`)."""

    family = timm_beit.Beit
    methods = ("forward_features", "forward_head")
    kinds = (timm_beit.Block,)
    attentions = (timm_beit.Attention,)

    @as_under_autocast
    def enter(self, content: Float[Tensor, "batch tokens width"], inputs: Inputs) -> Tokens:
        vit = self.vit
        x = torch.cat([vit.cls_token.expand(len(content), -1, -1), content], dim=1)
        return Tokens(x if vit.pos_embed is None else x + vit.pos_embed, self.num_prefix)

    def biases(self, i: int, asking: int, given: int) -> Float[Tensor, "heads queries tokens"] | None:
        shared, attn = self.vit.rel_pos_bias, self.vit.blocks[i].attn
        if shared is None and attn.relative_position_bias_table is None:
            return None
        parts = [] if shared is None else [shared()]
        parts += [] if attn.relative_position_bias_table is None else [attn._get_rel_pos_bias()[0]]
        found = torch.stack(parts).sum(dim=0)
        return self._spread(self._spread(found, asking, -2), given, -1)

    def _spread(self, found: Tensor, tokens: int, dim: int) -> Tensor:
        """Those of so many tokens: a whole stream with prompts, whose part is 0, or its prefix."""
        if not self.patches_of(tokens):
            return found.narrow(dim, 0, tokens)
        prefix, patches = found.split([self.num_prefix, self.num_patches], dim)
        shape = list(found.shape)
        shape[dim] = tokens - found.shape[dim]
        return torch.cat([prefix, found.new_zeros(shape), patches], dim)
