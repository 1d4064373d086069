"""What timm's plain transformers of images have in common, whatever their positions are.

Only the model's own parts are called; nothing of timm is copied.
"""

from __future__ import annotations

import dataclasses
from abc import ABC
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, TypeVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from selfprompt.backbones.base import UNEDITED, Tokens, private_copy
from selfprompt.backbones.info import BackboneInfo, Readout
from selfprompt.backbones.precision import as_under_autocast
from selfprompt.backbones.timm_blocks import TimmBlocks
from selfprompt.errors import UserError, first_line
from selfprompt.inputs import Inputs, images_of

EPSILON = 1e-6
"""Of a fresh LayerNorm, as in ViT."""
LARGEST_SIDE = 2**14  # pixels

Images = TypeVar("Images", bound="TimmImages")


class TimmImages(TimmBlocks, ABC):
    """A timm model as a `Backbone`: patches, positions, blocks and a pooling.

    The module is taken over: its classifier is removed, its weights are frozen, and it stays in eval mode
    (`private_copy` gives one that may be).

    Args:
        vit: The model.
        info: Where it comes from and what it wants to see.
        projection: What the readout's features go through, such as CLIP's into the space that it shares with texts.

    Attributes:
        family: timm's class.
        methods: Its methods that must be that class's own.
        kinds: Blocks that are taken.
        attentions: Attention that is taken.

    Raises:
        UserError: Another class of model, or a block that cannot be prompted; the message says what is lacking.
    """

    family: ClassVar[type[nn.Module]]
    methods: ClassVar[tuple[str, ...]]
    kinds: ClassVar[tuple[type[nn.Module], ...]]
    attentions: ClassVar[tuple[type[nn.Module], ...]]

    def __init__(self, vit: nn.Module, info: BackboneInfo, projection: nn.Linear | None = None) -> None:
        super().__init__()
        if lacking := what_lacks(vit, type(self)):
            raise UserError(
                f"{info.name} is a {type(vit).__name__}, which lacks {lacking}: selfprompt takes models of timm's "
                f"VisionTransformer, Eva and Beit classes, such as vit_base_patch16_224.mae."
            )
        model: Any = vit
        embed: Any = model.patch_embed
        if (channels := getattr(embed, "in_chans", None) or embed.proj.in_channels) != 3:
            raise UserError(
                f"{info.name} takes images of {channels} channels, and selfprompt gives it three "
                f"(red, green and blue): build it with in_chans=3."
            )
        if embed.patch_size[0] != embed.patch_size[1]:
            height, width = embed.patch_size
            raise UserError(f"{info.name} has patches of {height} x {width} pixels: selfprompt takes square ones.")
        model.reset_classifier(0)
        model.requires_grad_(False)
        self.vit = model
        self.projection = None if projection is None else projection.requires_grad_(False)
        self.eval()
        self.info = info
        first: Any = model.blocks[0].attn
        self.depth, self.width, self.num_heads = len(model.blocks), model.embed_dim, first.num_heads
        self.num_features = model.num_features if projection is None else projection.out_features
        self.num_patches = embed.num_patches
        self.num_prefix = model.num_prefix_tokens
        self.patch_size = embed.feat_ratio()
        self.token_fan_in = 3 * self.patch_size**2
        self.fixed_size, self.fused_attention = embed.strict_img_size, first.fused_attn

    @property
    def blocks(self) -> Sequence[Any]:
        return self.vit.blocks

    def resized(self: Images, image_size: int) -> Images:
        """The same weights for square inputs of another size: positions interpolated as timm does it.

        Raises:
            UserError: The size is no positive multiple of the patch size.
        """
        info, known, vit = self.info_at(image_size), self.fingerprint(), private_copy(self.vit)
        vit.set_input_size(img_size=(image_size, image_size))  # type: ignore[operator]
        other = type(self)(vit, info, self.projection)
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

    def patches_of(self, tokens: int) -> int:
        """How many of so many tokens are patches: those of a whole stream stand last, and prefix tokens are none."""
        if tokens <= self.num_prefix:
            return 0
        if tokens < self.num_prefix + self.num_patches:
            raise ValueError(f"{tokens} tokens are neither a whole stream nor its prefix")
        return self.num_patches

    def read_by(self, pool: Readout) -> slice | None:
        first = pool == "backbone" and self.vit.global_pool == "token" and not attention_pool(self.vit)
        return slice(1) if first else None

    def unread(self, pool: Readout = "backbone") -> tuple[nn.Module, ...]:
        if pool != "fresh_average":
            return ()
        vit = self.vit
        return tuple(part for part in (vit.norm, vit.fc_norm, attention_pool(vit)) if part is not None)

    @as_under_autocast
    def readout(self, tokens: Tokens, pool: Readout = "backbone") -> Float[Tensor, "batch features"]:
        features = self._pooled(tokens, pool)
        return features if self.projection is None else self.projection(features)

    def _pooled(self, tokens: Tokens, pool: Readout) -> Float[Tensor, "batch width"]:
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


def attention_pool(vit: Any) -> nn.Module | None:
    """What pools tokens by attention, in a model that has that."""
    return getattr(vit, "attn_pool", None)


def checked(backbone: Images) -> Images:
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
            own = own if backbone.projection is None else backbone.projection(own)
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
            f"{name} computes more than timm's {backbone.family.__name__} does (features are not the model's own): "
            f"take a model of that class, such as vit_base_patch16_224.mae."
        )
    return backbone


def what_lacks(model: nn.Module, kind: type[TimmImages]) -> str | None:
    """What a model lacks to be a backbone of that kind, in words; None if nothing."""
    family = kind.family
    if not isinstance(model, family):
        return f"a stream of tokens through timm's {family.__name__}"
    for name in kind.methods:
        if getattr(type(model), name) is not getattr(family, name):
            return f"{family.__name__}'s own {name} (the class overrides it)"
    blocks: Any = model.blocks
    if not len(blocks):
        return "blocks"
    known = [attention.forward for attention in kind.attentions]
    for i, block in enumerate(blocks):
        if not isinstance(block, kind.kinds):
            return f"separate attention and MLP branches (block {i} is a {type(block).__name__})"
        attn: Any = block.attn
        plain = type(attn).forward in known
        if plain:
            layers = (attn.q_proj, attn.k_proj, attn.v_proj) if attn.qkv is None else (attn.qkv,)
            plain = all(isinstance(layer, nn.Linear) for layer in layers)
        if not plain:
            return f"plain attention (that of block {i} is a {type(attn).__name__})"
    return None
