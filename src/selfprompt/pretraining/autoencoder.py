"""The network of masked autoencoding, and its loss."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from timm.layers.pos_embed_sincos import build_sincos2d_pos_embed
from timm.models.vision_transformer import Block, VisionTransformer
from torch import Tensor, nn

from selfprompt.errors import UserError
from selfprompt.pretraining.config import PretrainConfig


class MaskedAutoencoder(nn.Module):
    """Encoder, one-block decoder, and the loss.

    Shape: images (B, 3, S, S) of values in [0, 1] to a scalar.
    """

    def __init__(self, config: PretrainConfig) -> None:
        super().__init__()
        if config.image_size % config.patch_size or config.width % config.heads:
            raise UserError("--image-size must be a multiple of --patch-size, and --width of --heads.")
        if config.width % 4 or config.decoder_width % 4 or config.decoder_width % max(1, config.decoder_width // 32):
            raise UserError("--width and --decoder-width must be multiples of 4, the latter of 32 from 64 on.")
        if config.mask_ratio * (config.image_size // config.patch_size) ** 2 + 1e-9 < 1:
            raise UserError("--mask-ratio hides no patch of so small an image: raise it, or lower --patch-size.")
        self.config = config
        self.encoder: Any = VisionTransformer(**config.architecture())
        side = config.image_size // config.patch_size
        positions = build_sincos2d_pos_embed([side, side], dim=config.width)
        with torch.no_grad():
            self.encoder.pos_embed.copy_(torch.cat([torch.zeros(1, config.width), positions])[None])
        self.to_decoder = nn.Linear(config.width, config.decoder_width)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, config.decoder_width))
        nn.init.normal_(self.mask_token, std=0.02)
        self.decoder_positions: Tensor
        self.register_buffer("decoder_positions", build_sincos2d_pos_embed([side, side], dim=config.decoder_width))
        self.decoder = Block(config.decoder_width, num_heads=max(1, config.decoder_width // 32), qkv_bias=True)
        self.decoder_norm = nn.LayerNorm(config.decoder_width)
        self.to_pixels = nn.Linear(config.decoder_width, 3 * config.patch_size**2)

    def forward(self, images: Tensor) -> Tensor:
        """The reconstruction loss of a batch, patches masked at random by torch's generator."""
        p, encoder = self.config.patch_size, self.encoder
        mean = images.new_tensor(self.config.mean).view(1, -1, 1, 1)
        std = images.new_tensor(self.config.std).view(1, -1, 1, 1)
        images = (images - mean) / std
        target = F.unfold(images, p, stride=p).transpose(1, 2)  # (B, M, 3 p p)
        target = (target - target.mean(-1, keepdim=True)) / (target.var(-1, keepdim=True) + 1e-6).sqrt()

        patches = encoder.patch_embed(images) + encoder.pos_embed[:, 1:]  # (B, M, D)
        batch, count, width = patches.shape
        keep = count - int(self.config.mask_ratio * count + 1e-9)
        order = torch.rand(batch, count, device=images.device).argsort(dim=1)
        back = order.argsort(dim=1)
        visible = patches.gather(1, order[:, :keep, None].expand(-1, -1, width))
        first = (encoder.cls_token + encoder.pos_embed[:, :1]).expand(batch, -1, -1)
        latent = encoder.norm(encoder.blocks(torch.cat([first, visible], dim=1)))

        latent = self.to_decoder(latent)[:, 1:]
        tokens = torch.cat([latent, self.mask_token.expand(batch, count - keep, -1)], dim=1)
        tokens = tokens.gather(1, back[:, :, None].expand(-1, -1, tokens.shape[-1])) + self.decoder_positions
        predicted = self.to_pixels(self.decoder_norm(self.decoder(tokens)))
        masked = (back >= keep).float()
        return ((predicted - target).square().mean(-1) * masked).sum() / masked.sum()
