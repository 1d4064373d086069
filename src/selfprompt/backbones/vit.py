"""timm's VisionTransformer family: ViT, DeiT, DINO, DINOv2, MAE, CLIP and SigLIP image towers."""

from __future__ import annotations

from jaxtyping import Float
from timm.models.vision_transformer import (
    Attention,  # pyright: ignore[reportPrivateImportUsage]
    Block,
    ResPostBlock,
    VisionTransformer,
)
from torch import Tensor

from selfprompt.backbones.base import Tokens
from selfprompt.backbones.precision import as_under_autocast
from selfprompt.backbones.timm_images import TimmImages
from selfprompt.inputs import Inputs


class ViT(TimmImages):
    """A timm VisionTransformer: positions are added to the patches (see `TimmImages`)."""

    family = VisionTransformer
    methods = ("forward_features", "_pos_embed", "pool")
    kinds = (Block, ResPostBlock)
    attentions = (Attention,)

    @as_under_autocast
    def enter(self, content: Float[Tensor, "batch tokens width"], inputs: Inputs) -> Tokens:
        vit = self.vit
        patches = content.unflatten(1, vit.patch_embed.grid_size) if vit.dynamic_img_size else content
        return Tokens(vit.norm_pre(vit.patch_drop(vit._pos_embed(patches))), self.num_prefix)
