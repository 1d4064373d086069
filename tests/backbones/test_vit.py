"""timm's VisionTransformer family seen as a stream of tokens."""

from __future__ import annotations

import pytest
import timm
import torch
from timm.models.vision_transformer import ParallelScalingBlock, ResPostBlock, VisionTransformer

from conftest import entering, make_backbone
from selfprompt.backbones.base import UNEDITED, BlockEdit
from selfprompt.backbones.info import BackboneInfo
from selfprompt.backbones.load import load_backbone
from selfprompt.backbones.vit import ViT
from selfprompt.errors import UserError

NAMES = [
    "vit_tiny_patch16_224",
    "deit3_small_patch16_224",
    "vit_small_patch14_dinov2",
    "vit_small_patch14_reg4_dinov2",
    "vit_base_patch32_clip_224",
    "vit_base_patch32_siglip_256",
    "vit_medium_patch16_gap_240",
    "vit_medium_patch16_reg4_gap_256",
]


def shrunken(name: str) -> torch.nn.Module:
    return timm.create_model(name, pretrained=False, depth=2, num_classes=7, img_size=64)


@pytest.mark.parametrize("name", NAMES)
def test_the_familys_models_give_their_own_features(name: str) -> None:
    torch.manual_seed(0)
    model = shrunken(name).eval()
    size = model.patch_embed.img_size[0]
    images = torch.randn(2, 3, size, size)
    expected = model.forward_head(model.forward_features(images), pre_logits=True)
    backbone = load_backbone(model)
    tokens = backbone.run(images, UNEDITED)
    assert backbone.content(images).shape == (2, backbone.num_patches, backbone.width)
    features = backbone.readout(tokens)
    assert torch.allclose(features, expected, atol=1e-5)
    assert features.shape[-1] == backbone.num_features
    assert not any(p.requires_grad for p in backbone.parameters())


def test_post_norm_blocks() -> None:
    torch.manual_seed(0)
    model = VisionTransformer(
        img_size=32, patch_size=8, embed_dim=32, depth=2, num_heads=2, block_fn=ResPostBlock, num_classes=0
    ).eval()
    images = torch.randn(2, 3, 32, 32)
    expected = model(images)
    backbone = ViT(model, BackboneInfo("post-norm", "tiny", "unknown", 32))
    tokens = backbone.run(images, UNEDITED)
    assert torch.equal(backbone.readout(tokens), expected)


def test_keys_and_values_are_those_of_tokens(images: torch.Tensor) -> None:
    """A token given as an extra key and value counts as if it stood in the stream."""
    backbone = make_backbone("LayerScale and qk-norm")
    x = entering(backbone, images).x
    normal = backbone.normalize(1, x)
    whole = backbone.attention(1, normal, normal)
    edit = BlockEdit(extra_kv=backbone.keys_values(1, x[:, 10:]))
    split = backbone.attention(1, normal[:, :10], normal[:, :10], edit)
    assert torch.allclose(split, whole[:, :10], atol=1e-5)
    asked = backbone.attention(1, normal, normal[:, 3:5])
    assert torch.allclose(asked, whole[:, 3:5], atol=1e-5)


def test_other_models_are_refused_by_what_they_lack() -> None:
    with pytest.raises(UserError, match=r"ResNet.*lacks a stream of tokens"):
        load_backbone(timm.create_model("resnet10t"))
    with pytest.raises(UserError, match="block 0 is a ParallelScalingBlock"):
        load_backbone(
            VisionTransformer(
                img_size=32, patch_size=8, embed_dim=32, depth=1, num_heads=2, block_fn=ParallelScalingBlock
            )
        )


def test_no_hub_at_hand_names_what_works(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"could not be had from the hub .*--backbone builtin, or --backbone FILE"):
        load_backbone("vit_tiny_patch16_224.augreg_in21k")


def test_other_image_sizes() -> None:
    backbone = load_backbone(make_backbone(), image_size=64)
    assert backbone.num_patches == 64
    assert entering(backbone, torch.randn(1, 3, 64, 64)).x.shape == (1, 65, 32)
    for size in (60, 0, -8, 8 * 10**30):
        with pytest.raises(UserError, match=f"--image-size {size} is no multiple of the patch size 8"):
            load_backbone(make_backbone(), image_size=size)


def test_the_backbone_stays_in_eval_mode() -> None:
    assert not make_backbone().train().training
