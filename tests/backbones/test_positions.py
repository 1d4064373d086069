"""timm's ViT, Eva and Beit families: whatever their flags, features are the model's own, or the model is refused."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import timm
import torch
from timm.layers.mlp import SwiGLUPacked
from timm.layers.norm import RmsNorm
from timm.models.beit import Beit
from timm.models.eva import Eva, EvaBlock
from timm.models.vision_transformer import ResPostBlock, VisionTransformer
from torch import nn

from conftest import TINY, entering, make_backbone
from selfprompt.backbones.base import UNEDITED, BlockEdit
from selfprompt.backbones.load import load_backbone
from selfprompt.backbones.timm_hub import list_names
from selfprompt.errors import UserError

ROTARY = {"use_rot_pos_emb": True}
FLAGS: dict[str, dict[str, Any]] = {
    "no rotary positions": {},
    "rotary alone": {**ROTARY, "use_abs_pos_emb": False},
    "half rotation": {**ROTARY, "rope_rotate_half": True},
    "columns first": {**ROTARY, "rope_grid_indexing": "xy", "rope_grid_offset": 1.0},
    "of another grid": {**ROTARY, "ref_feat_shape": 7},
    "mixed": {**ROTARY, "rope_type": "mixed"},
    "mixed, dynamic size": {**ROTARY, "rope_type": "mixed", "dynamic_img_size": True, "rope_grid_indexing": "xy"},
    "dinov3": {**ROTARY, "rope_type": "dinov3", "rope_rotate_half": True, "rope_temperature": 100.0},
    "mrope": {**ROTARY, "rope_type": "mrope", "rope_mrope_section": (0, 2, 2)},
    "moved in training alone": {**ROTARY, "rope_type": "dinov3", "rope_shift_coords": 0.5, "rope_jitter_coords": 2.0},
    "dynamic size": {**ROTARY, "dynamic_img_size": True},
    "registers": {**ROTARY, "num_reg_tokens": 3},
    "registers without positions": {**ROTARY, "num_reg_tokens": 3, "no_embed_class": True},
    "no class token": {**ROTARY, "class_token": False},
    "split projections": {**ROTARY, "qkv_fused": False},
    "no qkv bias": {**ROTARY, "qkv_bias": False},
    "split projections without bias": {**ROTARY, "qkv_fused": False, "qkv_bias": False},
    "rope attention": {**ROTARY, "attn_type": "rope"},
    "shared keys and values": {**ROTARY, "attn_type": "rope", "qkv_fused": False, "num_kv_heads": (2, 1, 2)},
    "qk-norm": {**ROTARY, "qk_norm": True},
    "a norm inside attention": {**ROTARY, "scale_attn_inner": True},
    "SwiGLU, packed": {**ROTARY, "swiglu_mlp": True},
    "SwiGLU, split": {**ROTARY, "swiglu_mlp": True, "scale_mlp": True},
    "SwiGLU, aligned": {**ROTARY, "swiglu_mlp": True, "swiglu_align_to": 8},
    "a norm inside the MLP": {"scale_mlp": True},
    "LayerScale": {**ROTARY, "init_values": 0.5},
    "LayerScale after attention alone": {"init_values": 0.5, "attn_only_layer_scale": True},
    "post-norm": {**ROTARY, "use_post_norm": True, "scale_mlp": True, "swiglu_mlp": True},
    "pre-norm": {**ROTARY, "use_pre_transformer_norm": True},
    "RMS norm": {**ROTARY, "norm_layer": partial(RmsNorm, eps=1e-5), "qk_norm": True},
    "class token read": {**ROTARY, "global_pool": "token"},
    "attention pooling": {**ROTARY, "global_pool": "map", "attn_pool_num_heads": 4, "attn_pool_mlp_ratio": 2.0},
    "norm after pooling": {"global_pool": "avg", "use_fc_norm": True},
    "norm before pooling": {"global_pool": "avg", "use_fc_norm": False},
    "maximum": {"global_pool": "max"},
    "average and maximum": {"global_pool": "avgmax"},
    "dropout in training": {"drop_rate": 0.5, "pos_drop_rate": 0.5, "attn_drop_rate": 0.5, "patch_drop_rate": 0.5},
}
RELATIVE: dict[str, dict[str, Any]] = {
    "none": {},
    "each block's": {"use_rel_pos_bias": True},
    "shared": {"use_shared_rel_pos_bias": True},
    "both, and no others": {"use_rel_pos_bias": True, "use_shared_rel_pos_bias": True, "use_abs_pos_emb": False},
    "no qkv bias": {"use_rel_pos_bias": True, "qkv_bias": False},
    "LayerScale": {"use_rel_pos_bias": True, "init_values": 0.5},
    "SwiGLU with a norm": {"use_rel_pos_bias": True, "swiglu_mlp": True, "scale_mlp": True},
    "class token read": {"use_rel_pos_bias": True, "global_pool": "token"},
    "norm before pooling": {"use_rel_pos_bias": True, "use_fc_norm": False},
}
AVERAGE = {"class_token": False, "global_pool": "avg"}
ADDED: dict[str, dict[str, Any]] = {
    "plain": {},
    "registers": {"reg_tokens": 3},
    "registers without positions": {"reg_tokens": 3, "no_embed_class": True},
    "no class token": AVERAGE,
    "no positions": {**AVERAGE, "pos_embed": "none"},
    "dynamic size": {"dynamic_img_size": True},
    "padded to whole patches": {"dynamic_img_size": True, "dynamic_img_pad": True},
    "qk-norm": {"qk_norm": True},
    "no biases": {"qkv_bias": False, "proj_bias": False},
    "a norm inside attention": {"scale_attn_norm": True},
    "a norm inside the MLP": {"scale_mlp_norm": True},
    "LayerScale": {"init_values": 0.5},
    "pre-norm": {"pre_norm": True},
    "a norm of patches": {"embed_norm_layer": nn.LayerNorm},
    "RMS norm": {"norm_layer": partial(RmsNorm, eps=1e-5), "qk_norm": True},
    "no final norm": {"final_norm": False},
    "post-norm": {"block_fn": ResPostBlock, "init_values": 0.5},
    "SwiGLU, packed": {"mlp_layer": SwiGLUPacked},
    "attention pooling": {"class_token": False, "global_pool": "map"},
    "attention pooling beside a class token": {"global_pool": "map"},
    "norm after pooling": {"global_pool": "avg", "fc_norm": True},
    "norm before pooling": {"global_pool": "avg", "fc_norm": False},
    "prefix tokens pooled, too": {"global_pool": "avg", "reg_tokens": 2, "pool_include_prefix": True},
    "maximum": {"global_pool": "max"},
    "average and maximum": {"global_pool": "avgmax"},
    "dropout in training": {"drop_rate": 0.5, "pos_drop_rate": 0.5, "attn_drop_rate": 0.5, "patch_drop_rate": 0.5},
}
MODELS = [pytest.param(VisionTransformer, flags, id=f"ViT: {name}") for name, flags in ADDED.items()]
MODELS += [pytest.param(Eva, flags, id=f"Eva: {name}") for name, flags in FLAGS.items()]
MODELS += [pytest.param(Beit, flags, id=f"Beit: {name}") for name, flags in RELATIVE.items()]


def noisy(model: nn.Module) -> nn.Module:
    """Every weight away from its default."""
    for parameter in model.parameters():
        parameter.data += 0.2 * torch.randn_like(parameter)
    return model.eval()


@pytest.mark.parametrize(("family", "flags"), MODELS)
@torch.no_grad()
def test_features_are_the_models_own(family: type[nn.Module], flags: dict[str, Any], images: torch.Tensor) -> None:
    torch.manual_seed(0)
    model = noisy(family(**{**TINY, **flags}))
    backbone = load_backbone(model.train())
    expected = model.eval()(images)
    for fused in (True, False):
        backbone.fused_attention = fused
        assert torch.allclose(backbone.readout(backbone.run(images, UNEDITED)), expected, atol=1e-5)
    other = torch.randn(2, 3, 48, 48)
    bigger = load_backbone(model, image_size=48)
    model.set_input_size((48, 48))
    assert torch.allclose(bigger.readout(bigger.run(other, UNEDITED)), model(other), atol=1e-5)
    assert bigger.fingerprint() == backbone.fingerprint()


@pytest.mark.parametrize("module", ["eva", "beit"])
@torch.no_grad()
def test_every_model_of_timms_file_is_right_and_listed(module: str) -> None:
    """Made small."""
    listed = {name.partition(".")[0] for name in list_names()}
    for name in timm.list_models(module=module):
        torch.manual_seed(0)
        small = {"embed_dim": 32, "num_heads": 2, "depth": 2, "patch_size": 8, "img_size": 16, "num_classes": 0}
        shared = {"num_kv_heads": (1, 2)} if "sapiens2" in name else {}
        model = noisy(timm.create_model(name, **small, **shared))
        images = torch.randn(2, 3, 16, 16)
        backbone = load_backbone(model)
        assert torch.allclose(backbone.readout(backbone.run(images, UNEDITED)), model(images), atol=1e-4), name
        assert name in listed or not timm.list_models(f"{name}.*", pretrained=True), name


class OwnForward(Eva):
    def forward(self, *inputs: Any, **rest: Any) -> torch.Tensor:
        return super().forward(*inputs, **rest) * 2


class OwnPositions(Eva):
    def _pos_embed(self, x: torch.Tensor) -> Any:
        x, rope = super()._pos_embed(x)
        return x, None if rope is None else -rope


class OwnBlock(EvaBlock):
    def forward(self, x: torch.Tensor, *rest: Any, **more: Any) -> torch.Tensor:
        return super().forward(x, *rest, **more) * 2


def with_another_block() -> Eva:
    model = Eva(**TINY)
    model.blocks[1] = OwnBlock(32, 2)
    return model


def with_other_prefix() -> Eva:
    model = Eva(**TINY, **ROTARY)
    model.blocks[1].attn.num_prefix_tokens = 3
    return model


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda: OwnPositions(**TINY, **ROTARY), "lacks Eva's own _pos_embed"),
        (lambda: OwnForward(**TINY), "more than timm's Eva does"),
        (with_another_block, "more than timm's Eva does"),
        (with_other_prefix, "does not run on two images of noise"),
        (lambda: Eva(**{**TINY, "global_pool": ""}), "not one vector each"),
        (lambda: Eva(**{**TINY, "depth": 0}), "lacks blocks"),
        (lambda: Eva(**TINY, in_chans=1), "takes images of 1 channels"),
        (lambda: Beit(**{**TINY, "patch_size": (8, 16)}), "patches of 8 x 16 pixels"),
        (lambda: Beit(**{**TINY, "img_size": (32, 64)}), "--image-size 32"),
    ],
)
def test_what_is_read_wrongly_is_refused(make: Any, why: str) -> None:
    torch.manual_seed(0)
    with pytest.raises(UserError, match=why):
        load_backbone(noisy(make()))


@pytest.mark.parametrize("kind", ["rotary", "rotary, each block its own"])
def test_a_token_that_stands_nowhere_counts_as_a_prefix_token(kind: str, images: torch.Tensor) -> None:
    """Given as a key and value, or asked for alone, it is as in the stream."""
    backbone = make_backbone(kind)
    normal = backbone.normalize(1, entering(backbone, images).x)
    first = backbone.num_prefix
    whole = backbone.attention(1, normal, normal)
    edit = BlockEdit(extra_kv=backbone.keys_values(1, normal[:, :first], normalize=False))
    patches = load_without_prefix(backbone)
    split = patches.attention(1, normal[:, first:], normal[:, first:], edit)
    assert torch.allclose(split, whole[:, first:], atol=1e-5)
    assert torch.allclose(backbone.attention(1, normal, normal[:, :first]), whole[:, :first], atol=1e-5)


def load_without_prefix(backbone: Any) -> Any:
    """The same blocks around patches alone."""
    other = backbone.private()
    other.num_prefix = 0
    return other


@pytest.mark.parametrize("kind", ["rotary", "relative positions"])
def test_tokens_that_are_neither_a_stream_nor_its_prefix_are_an_error(kind: str, images: torch.Tensor) -> None:
    backbone = make_backbone(kind)
    normal = backbone.normalize(0, entering(backbone, images).x)
    with pytest.raises(ValueError, match="neither a whole stream nor its prefix"):
        backbone.attention(0, normal, normal[:, 2:6])


def test_a_rotary_model_takes_images_of_its_size_alone() -> None:
    with pytest.raises(UserError, match=r"takes \(B, 3, 32, 32\)"):
        make_backbone("rotary").as_input(torch.randn(2, 3, 48, 48), lambda x: x)
