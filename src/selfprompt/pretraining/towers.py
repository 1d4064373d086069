"""The pair of towers that is trained, open_clip's own, and its loss."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from selfprompt.backbones.load import load_backbone
from selfprompt.backbones.open_clip import timm_key
from selfprompt.backbones.vit import ViT
from selfprompt.errors import UserError
from selfprompt.pretraining.config import ClipConfig

FIRST_SCALE, LARGEST_SCALE = math.log(1 / 0.07), math.log(100)
PARTS = 4
"""Texts of like length are encoded together, in so many parts."""


class Pair(nn.Module):
    """open_clip's two towers, and their loss on a batch.

    Shape: images (B, 3, S, S) in [0, 1], C texts as ids, and (B, C) bool of which is true of which, to a scalar.
    """

    def __init__(self, config: ClipConfig, vocabulary: int) -> None:
        from open_clip.model import CLIP
        from open_clip.transformer import PatchDropout

        super().__init__()
        if config.image_size % config.patch_size or config.width % config.heads:
            raise UserError("--image-size must be a multiple of --patch-size, and --width of --heads.")
        if config.text_width % config.text_heads:
            raise UserError("--text-width must be a multiple of --text-heads.")
        self.config = config
        self.towers = architecture(config, vocabulary)
        self.model: Any = CLIP(**self.towers, init_logit_scale=FIRST_SCALE)
        self.model.visual.patch_dropout = PatchDropout(config.patch_dropout)

    def forward(self, images: Tensor, texts: list[list[int]], true: Tensor) -> Tensor:
        """The loss."""
        mean, std = (images.new_tensor(value).view(1, -1, 1, 1) for value in (self.config.mean, self.config.std))
        seen = F.normalize(self.model.visual((images - mean) / std), dim=-1)
        read = F.normalize(encode(self.model, texts), dim=-1)
        with torch.no_grad():
            self.model.logit_scale.clamp_(0, LARGEST_SCALE)
        return contrastive(self.model.logit_scale.exp() * seen @ read.T, true)


def architecture(config: ClipConfig, vocabulary: int) -> dict[str, Any]:
    """Arguments of open_clip's CLIP; an image's feature is the mean of its normalised patch tokens, projected."""
    vision = {
        "image_size": config.image_size,
        "patch_size": config.patch_size,
        "width": config.width,
        "layers": config.depth,
        "head_width": config.width // config.heads,
        "no_ln_pre": True,
        "pool_type": "avg",
        "norm_kwargs": {"eps": 1e-6},
    }
    text = {
        "context_length": config.context,
        "vocab_size": vocabulary,
        "width": config.text_width,
        "heads": config.text_heads,
        "layers": config.text_depth,
    }
    return {"embed_dim": config.embed, "vision_cfg": vision, "text_cfg": text}


def contrastive(logits: Tensor, true: Tensor) -> Tensor:
    """The mean over images of the cross-entropy with all captions that are true of them, and the same of captions.

    ``L = -1/2 (mean_i sum_j t_ij log softmax_j s_ij + mean_j sum_i u_ij log softmax_i s_ij)``, where t is ``true``
    with rows of sum 1, and u with columns of sum 1.

    Shape: (B, C) and (B, C) bool to a scalar.
    """
    targets = true.float()
    rows = targets / targets.sum(dim=1, keepdim=True) * logits.log_softmax(dim=1)
    columns = targets / targets.sum(dim=0, keepdim=True) * logits.log_softmax(dim=0)
    return -(rows.sum(dim=1).mean() + columns.sum(dim=0).mean()) / 2


def encode(model: Any, texts: list[list[int]]) -> Tensor:
    """(C, F) features of texts, those of like length together: what follows the end token is never read."""
    device = model.positional_embedding.device
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    found = []
    for first in range(0, len(order), size := -(-len(order) // PARTS)):
        part = order[first : first + size]
        ids = nn.utils.rnn.pad_sequence([torch.tensor(texts[i]) for i in part], batch_first=True).to(device)
        at = torch.tensor([len(texts[i]) - 1 for i in part], device=device)
        x = model.token_embedding(ids) + model.positional_embedding[: ids.shape[1]]
        x = model.transformer(x, attn_mask=model.attn_mask[: ids.shape[1], : ids.shape[1]])
        found.append(model.ln_final(x[torch.arange(len(part), device=device), at]) @ model.text_projection)
    back = torch.tensor(order, device=device).argsort()
    return torch.cat(found)[back]


def start_from(visual: Any, start: str) -> None:
    """Take a vision transformer's embedding, first blocks and norm into an image tower.

    open_clip's patches have no bias: it is added to their positions.

    Raises:
        UserError: It is of other sizes, or has too few blocks.
    """
    found = load_backbone(start)
    own = found.vit.state_dict() if isinstance(found, ViT) else {}
    try:
        positions = own["pos_embed"][0].clone()
        positions[1:] += own["patch_embed.proj.bias"]
        state = {
            "conv1.weight": own["patch_embed.proj.weight"],
            "class_embedding": own["cls_token"][0, 0],
            "positional_embedding": positions,
            "ln_post.weight": own["norm.weight"],
            "ln_post.bias": own["norm.bias"],
        }
        for i, block in enumerate(visual.transformer.resblocks):
            for key in block.state_dict():
                state[f"transformer.resblocks.{i}.{key}"] = own[f"blocks.{i}.{timm_key(key)}"]
        visual.load_state_dict(visual.state_dict() | state)
    except (KeyError, RuntimeError) as error:
        raise UserError(
            f"--start {start} is no vision transformer of this image size, patch size, width and depth: "
            f"set these to its own, or leave --start out."
        ) from error
