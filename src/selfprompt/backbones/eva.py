"""timm's Eva family: DINOv3, EVA, EVA-02, the Perception Encoder and ViTs with rotary positions.

Rotary positions (Su et al., "RoFormer", arXiv 2104.09864) turn a patch's query and key, in pairs of numbers, by
angles that grow with its row and column. They leave prefix tokens as they are, and so prompts, which stand nowhere.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from timm.layers.attention import AttentionRope
from timm.layers.pos_embed_sincos import apply_rot_embed_cat, get_mixed_freqs, get_mixed_grid
from timm.models import eva as timm_eva
from torch import Tensor, nn

from selfprompt.backbones.base import Tokens
from selfprompt.backbones.info import BackboneInfo
from selfprompt.backbones.precision import as_under_autocast
from selfprompt.backbones.timm_images import TimmImages
from selfprompt.inputs import Inputs


class Eva(TimmImages):
    """A timm Eva: positions turn queries and keys of patches, and may be added to them, too (see `TimmImages`).

    Attributes:
        turns: (M, 2 d) sines and cosines of the patches' angles, the same in all blocks; None where there are none,
            or each block and head has its own.
        places: Columns and rows of the patches, (M,) each, where each block and head has its own angles for them.
    """

    family = timm_eva.Eva
    methods = ("forward_features", "_pos_embed", "pool")
    kinds = (timm_eva.EvaBlock, timm_eva.EvaBlockPostNorm)
    attentions = (timm_eva.EvaAttention, AttentionRope)
    turns: Tensor | None
    places: Tensor | None

    def __init__(self, vit: nn.Module, info: BackboneInfo, projection: nn.Linear | None = None) -> None:
        super().__init__(vit, info, projection)
        self.fixed_size = True
        rope: Any = self.vit.rope
        grid, turns, places = self.vit.patch_embed.grid_size, None, None
        if self.vit.rope_mixed:
            places = torch.stack(get_mixed_grid(grid, rope.grid_indexing, device=rope.freqs.device))
        elif rope is not None:
            turns = rope.get_embed() if getattr(rope, "feat_shape", None) else rope.get_embed(shape=grid)
        self.register_buffer("turns", turns, persistent=False)
        self.register_buffer("places", places, persistent=False)

    @as_under_autocast
    def enter(self, content: Float[Tensor, "batch tokens width"], inputs: Inputs) -> Tokens:
        vit = self.vit
        patches = content.unflatten(1, vit.patch_embed.grid_size) if vit.dynamic_img_size else content
        return Tokens(vit.norm_pre(vit._pos_embed(patches)[0]), self.num_prefix)

    def positioned(
        self, i: int, *parts: Float[Tensor, "batch heads _ head_width"]
    ) -> tuple[Float[Tensor, "batch heads _ head_width"], ...]:
        turns = self.turns
        if self.places is not None:
            columns, rows = self.places
            turns = get_mixed_freqs(self.vit.rope.freqs[:, i : i + 1], columns, rows)[0]
        if turns is None:
            return parts
        half = self.vit.blocks[i].attn.rotate_half
        return tuple(self._turned(part, turns, half) for part in parts)

    def _turned(self, part: Tensor, turns: Tensor, half: bool) -> Tensor:
        first = part.shape[-2] - self.patches_of(part.shape[-2])
        if first == part.shape[-2]:
            return part
        turned = apply_rot_embed_cat(part[..., first:, :], turns, half=half).to(part.dtype)
        return torch.cat([part[..., :first, :], turned], dim=-2)
