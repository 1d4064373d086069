"""timm's VisionTransformer family: ViT, DeiT, DINO, DINOv2, MAE, CLIP and SigLIP image towers.

Only the model's own parts are called; nothing of timm is copied. The two block kinds of the family that have
separate branches are taken: pre-norm (`Block`) and post-norm (`ResPostBlock`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from timm.models.vision_transformer import (
    Attention,  # pyright: ignore[reportPrivateImportUsage]
    Block,
    ResPostBlock,
    VisionTransformer,
)
from torch import Tensor, nn

from selfprompt.backbones.base import PLAIN, UNEDITED, BlockEdit, KeysValues, Role, Tokens, private_copy
from selfprompt.backbones.info import BackboneInfo, Readout
from selfprompt.backbones.precision import as_under_autocast, fused_is_faster
from selfprompt.backbones.stepwise import Stepwise
from selfprompt.errors import UserError, first_line
from selfprompt.inputs import Inputs, images_of

EPSILON = 1e-6
LARGEST_SIDE = 2**14  # pixels
"""Of a fresh LayerNorm, as in ViT."""


class ViT(Stepwise):
    """A timm VisionTransformer as a `Backbone`.

    The module is taken over: its classifier is removed, its weights are frozen, and it stays in eval mode
    (`private_copy` gives one that may be).

    Args:
        vit: The model.
        info: Where it comes from and what it wants to see.

    Raises:
        UserError: Another class of model, or a block that cannot be prompted; the message says what is lacking.
    """

    def __init__(self, vit: nn.Module, info: BackboneInfo) -> None:
        super().__init__()
        if lacking := what_lacks(vit):
            raise UserError(
                f"{info.name} is a {type(vit).__name__}, which lacks {lacking}: "
                f"selfprompt takes models of timm's plain VisionTransformer class, such as vit_base_patch16_224.mae."
            )
        assert isinstance(vit, VisionTransformer)
        embed: Any = vit.patch_embed
        if (channels := getattr(embed, "in_chans", None) or embed.proj.in_channels) != 3:
            raise UserError(
                f"{info.name} takes images of {channels} channels, and selfprompt gives it three "
                f"(red, green and blue): build it with in_chans=3."
            )
        if embed.patch_size[0] != embed.patch_size[1]:
            height, width = embed.patch_size
            raise UserError(f"{info.name} has patches of {height} x {width} pixels: selfprompt takes square ones.")
        vit.reset_classifier(0)
        vit.requires_grad_(False)
        self.vit: Any = vit
        self.eval()
        self.info = info
        first: Any = vit.blocks[0].attn
        self.depth, self.width, self.num_heads = len(vit.blocks), vit.embed_dim, first.num_heads
        self.num_features = vit.num_features
        self.num_patches = vit.patch_embed.num_patches
        self.num_prefix = vit.num_prefix_tokens
        self.patch_size = embed.feat_ratio()
        self.token_fan_in = 3 * self.patch_size**2
        self.fixed_size, self.fused_attention = embed.strict_img_size, first.fused_attn

    def resized(self, image_size: int) -> ViT:
        """The same weights for square inputs of another size: positions interpolated as timm does it.

        Raises:
            UserError: The size is no positive multiple of the patch size.
        """
        info, known, vit = self.info_at(image_size), self.fingerprint(), private_copy(self.vit)
        vit.set_input_size(img_size=(image_size, image_size))  # type: ignore[operator]
        other = ViT(vit, info)
        with other.computing(known):
            return other

    def info_at(self, image_size: int) -> BackboneInfo:
        """What is known of it once `resized`; errors as there."""
        self.expect_size(image_size)
        return dataclasses.replace(self.info, image_size=image_size, crop_fraction=1.0)

    def expect_size(self, image_size: int) -> None:
        """Raise `UserError` unless square inputs of that size are whole patches."""
        if not 0 < image_size <= LARGEST_SIDE or image_size % self.patch_size:
            raise UserError(
                f"--image-size {image_size} is no multiple of the patch size {self.patch_size} of {self.info.name} "
                f"up to {LARGEST_SIDE}: give one from {self.patch_size} on."
            )

    def as_input(self, inputs: Inputs, prepare: Callable[[Inputs], Inputs]) -> Float[Tensor, "batch 3 high wide"]:
        """(B, 3, H, W) images: uint8 ones normalised, floats in the weights' type."""
        if not isinstance(inputs, Tensor) or not (inputs.dtype == torch.uint8 or inputs.is_floating_point()):
            what = inputs.dtype if isinstance(inputs, Tensor) else type(inputs).__name__
            raise UserError(f"The images are {what}: give a tensor (B, 3, H, W) of uint8, or of normalised floats.")
        side = self.info.image_size
        if inputs.ndim != 4 or inputs.shape[1] != 3 or (self.fixed_size and inputs.shape[2:] != (side, side)):
            raise UserError(
                f"The images have the shape {tuple(inputs.shape)}: {self.info.name} takes (B, 3, {side}, {side})."
            )
        images = images_of(prepare(inputs) if inputs.dtype == torch.uint8 else inputs)
        return images.to(next(self.parameters()).dtype)

    @as_under_autocast
    def content(self, inputs: Inputs) -> Float[Tensor, "batch content width"]:
        return self.vit.patch_embed(inputs).flatten(1, -2)

    @as_under_autocast
    def enter(self, content: Float[Tensor, "batch tokens width"], inputs: Inputs) -> Tokens:
        vit = self.vit
        patches = content.unflatten(1, vit.patch_embed.grid_size) if vit.dynamic_img_size else content
        return Tokens(vit.norm_pre(vit.patch_drop(vit._pos_embed(patches))), self.num_prefix)

    @as_under_autocast
    def normalize(self, i: int, x: Float[Tensor, "*batch tokens width"]) -> Float[Tensor, "*batch tokens width"]:
        block: Any = self.vit.blocks[i]
        return block.norm1(x) if isinstance(block, Block) else x

    @as_under_autocast
    def attention(
        self,
        i: int,
        x: Float[Tensor, "batch tokens width"],
        asking: Float[Tensor, "batch queries width"],
        edit: BlockEdit = PLAIN,
    ) -> Float[Tensor, "batch queries width"]:
        block: Any = self.vit.blocks[i]
        attn = block.attn
        if asking is x and edit.extra_kv is None:
            q, k, v = attn.qkv(x).unflatten(-1, (3, attn.num_heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
        else:  # apart, as queries alone are kept for the backward pass once keys and values are joined to others
            (q,), (k, v) = self._project(attn, asking, 0, 1), self._project(attn, x, 1, 3)
        q, k = attn.q_norm(q), attn.k_norm(k)
        if edit.extra_kv is not None:
            more = [e.to(k.dtype).expand(k.shape[0], *e.shape[-3:]) for e in edit.extra_kv]
            k, v = (torch.cat([e, t], dim=2) for e, t in zip(more, (k, v)))
        if edit.temperature is not None:
            q = q / edit.temperature.to(q.dtype)
        mask = None
        if edit.extra_mask is not None:
            mask = F.pad(edit.extra_mask, (0, k.shape[-2] - edit.extra_mask.shape[-1]), value=True)[:, None, None]
        return self._attend(block, "tokens", asking, q, k, v, mask)

    @as_under_autocast
    def cross_attention(
        self, i: int, x: Float[Tensor, "batch queries width"], kv: KeysValues
    ) -> Float[Tensor, "batch queries width"]:
        block: Any = self.vit.blocks[i]
        (q,) = self._project(block.attn, x, 0, 1)
        k, v = (e.to(q.dtype).expand(x.shape[0], *e.shape[-3:]) for e in kv)
        return self._attend(block, "prompts", x, block.attn.q_norm(q), k, v)

    @staticmethod
    def _project(attn: Any, x: Tensor, first: int, last: int) -> tuple[Tensor, ...]:
        """Some of queries (0), keys (1) and values (2) of (..., N, D) tokens, each (..., heads, N, d)."""
        if is_plain(attn.qkv):
            inner = attn.qkv.out_features // 3
            part = slice(first * inner, last * inner)
            out = F.linear(x, attn.qkv.weight[part], None if attn.qkv.bias is None else attn.qkv.bias[part])
        else:  # something wraps the layer, or hooks into it, and must be asked as a whole
            out = attn.qkv(x).unflatten(-1, (3, -1))[..., first:last, :].flatten(-2)
        out = out.unflatten(-1, (last - first, attn.num_heads, -1))
        return out.movedim(-3, 0).transpose(-3, -2).unbind(0)

    def _attend(
        self,
        block: Any,
        role: Role,
        asking: Float[Tensor, "batch queries width"],
        q: Float[Tensor, "batch heads queries head_width"],
        k: Float[Tensor, "batch heads keys head_width"],
        v: Float[Tensor, "batch heads keys head_width"],
        seen: Bool[Tensor, "batch 1 1 keys"] | None = None,
    ) -> Float[Tensor, "batch queries width"]:
        attn = block.attn
        if self.fused_attention and self.watch is None and fused_is_faster(q.device, q.dtype):
            out = F.scaled_dot_product_attention(q, k, v, attn_mask=seen)
        else:
            scores = (q * attn.scale) @ k.transpose(-2, -1)
            scores = scores if seen is None else scores.masked_fill(~seen, -torch.inf)
            weights = scores.softmax(dim=-1)
            if self.watch is not None:
                self.watch(role, weights)
            out = weights @ v
        out = attn.norm(out.transpose(1, 2).flatten(2))
        if getattr(attn, "gate", None) is not None:
            out = out * attn.gate(asking).sigmoid()
        out = attn.proj(out)
        return block.ls1(out) if isinstance(block, Block) else block.norm1(out)

    @as_under_autocast
    def mlp(self, i: int, x: Float[Tensor, "batch tokens width"]) -> Float[Tensor, "batch tokens width"]:
        block: Any = self.vit.blocks[i]
        return block.ls2(block.mlp(block.norm2(x))) if isinstance(block, Block) else block.norm2(block.mlp(x))

    @as_under_autocast
    def keys_values(
        self, i: int, prompts: Float[Tensor, "*batch prompts width"], normalize: bool = True
    ) -> KeysValues:
        block: Any = self.vit.blocks[i]
        attn = block.attn
        k, v = self._project(attn, self.normalize(i, prompts) if normalize else prompts, 1, 3)
        return attn.k_norm(k), v

    def read_by(self, pool: Readout) -> int | None:
        return 1 if pool == "backbone" and self.vit.global_pool == "token" and self.vit.attn_pool is None else None

    def unread(self, pool: Readout = "backbone") -> tuple[nn.Module, ...]:
        if pool != "fresh_average":
            return ()
        vit = self.vit
        return tuple(part for part in (vit.norm, vit.fc_norm, vit.attn_pool) if part is not None)

    @as_under_autocast
    def readout(self, tokens: Tokens, pool: Readout = "backbone") -> Float[Tensor, "batch features"]:
        vit = self.vit
        if pool == "backbone":
            return vit.forward_head(vit.norm(tokens.x), pre_logits=True)
        x = tokens.x[:, tokens.num_prefix :]
        mean = x.mean(dim=1)
        if self.watch is not None:  # the same, as attention with equal weights
            weights = x.new_full(x.shape[:2], 1 / x.shape[1]).requires_grad_()
            self.watch("readout", weights)
            mean = (weights[:, None] @ x).squeeze(1)
        if pool == "fresh_average":
            return F.layer_norm(mean, mean.shape[-1:], eps=EPSILON)
        return (vit.fc_norm if isinstance(vit.norm, nn.Identity) else vit.norm)(mean)


def is_plain(layer: nn.Module) -> bool:
    """Whether a layer computes what its weights alone say: no subclass, no hook, no other method in place."""
    hooks = layer._forward_hooks or layer._forward_pre_hooks
    return type(layer) is nn.Linear and not hooks and "forward" not in layer.__dict__


def checked(backbone: ViT) -> ViT:
    """The backbone, once its features without prompts are its model's own output on two random images.

    Raises:
        UserError: They are not, are no vectors, or are not finite.
    """
    name, weight = backbone.info.name, next(backbone.parameters())
    if weight.is_meta:
        raise UserError(f"{name} is on the meta device and has no weights: load them first.")
    images = torch.randn(2, 3, *backbone.vit.patch_embed.img_size, generator=torch.Generator().manual_seed(0))
    try:
        with torch.no_grad():
            own = backbone.vit(images.to(weight))
            vectors = own.shape == (2, backbone.num_features)
            tokens = backbone.run(images.to(weight), UNEDITED)
            features = backbone.readout(tokens) if vectors else own
    except Exception as error:  # whatever a model from outside raises
        raise UserError(f"{name} does not run on two images of noise ({first_line(error)}).") from error
    if not vectors:
        raise UserError(
            f"{name} gives {tuple(own.shape)} for two images, not one vector each: "
            f"build it with global_pool='token' or 'avg'."
        )
    if not own.isfinite().all():
        raise UserError(f"{name} answers with NaN or infinity: its weights are damaged.")
    if tokens.x.shape[1] != backbone.num_prefix + backbone.num_patches or (
        (features - own).norm() > 1e-3 * own.norm()
    ):
        raise UserError(
            f"{name} computes more than timm's plain VisionTransformer does (features are not the model's own): "
            f"take a model of that class, such as vit_base_patch16_224.mae."
        )
    return backbone


def what_lacks(vit: nn.Module) -> str | None:
    """What a model lacks to be a `ViT`, in words; None if nothing."""
    if not isinstance(vit, VisionTransformer):
        return "a stream of tokens through timm's VisionTransformer"
    for name in ("forward_features", "_pos_embed", "pool"):
        if getattr(type(vit), name) is not getattr(VisionTransformer, name):
            return f"VisionTransformer's own {name} (the class overrides it)"
    if not len(vit.blocks):
        return "blocks"
    block: Any
    for i, block in enumerate(vit.blocks):
        if not isinstance(block, (Block, ResPostBlock)):
            return f"separate attention and MLP branches (block {i} is a {type(block).__name__})"
        if type(block.attn).forward is not Attention.forward or not isinstance(block.attn.qkv, nn.Linear):
            return f"plain attention (that of block {i} is a {type(block.attn).__name__})"
    return None
