"""The official form of VPT-deep, plainly: concatenate, run all tokens, replace.

Written from the equations of VPT (arXiv 2203.12119) over timm's own modules, to be measured against; tests/parity
holds selfprompt to the same numbers.
"""

from __future__ import annotations

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn


class ConcatenateAndReplace(nn.Module):
    """A frozen ViT whose prompts run through every block as tokens, their outputs thrown away.

    Shape: images (B, 3, H, W), normalised, to logits (B, C); prompts (depth, P, D).
    """

    def __init__(self, vit: VisionTransformer, num_prompts: int, num_classes: int) -> None:
        super().__init__()
        vit.requires_grad_(False)
        self.vit = vit.eval()
        self.prompts = nn.Parameter(0.04 * torch.randn(len(vit.blocks), num_prompts, vit.embed_dim))
        self.head = nn.Linear(vit.num_features, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Images to logits."""
        vit, prefix, count = self.vit, self.vit.num_prefix_tokens, self.prompts.shape[1]
        x = vit.norm_pre(vit._pos_embed(vit.patch_embed(images)))
        for i, block in enumerate(vit.blocks):
            patches = x[:, prefix:] if i == 0 else x[:, prefix + count :]
            x = block(torch.cat([x[:, :prefix], self.prompts[i].expand(len(x), -1, -1), patches], dim=1))
        x = torch.cat([x[:, :prefix], x[:, prefix + count :]], dim=1)
        return self.head(vit.forward_head(vit.norm(x), pre_logits=True))
