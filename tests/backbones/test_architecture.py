"""What shows in no weight of a file: known, read from the config.json beside it, said, or refused."""

from __future__ import annotations

import json
import logging
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file
from timm.layers.norm import LayerNorm
from timm.models.vision_transformer import ResPostBlock, VisionTransformer

from selfprompt.backbones.architecture import HEADS, shown
from selfprompt.backbones.base import UNEDITED
from selfprompt.backbones.load import load_backbone
from selfprompt.backbones.vit import ViT
from selfprompt.errors import UserError

SHAPE = {"img_size": 16, "patch_size": 8, "embed_dim": 64, "depth": 2, "num_heads": 4, "num_classes": 0}
IMAGES = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(1))


def noisy(model: torch.nn.Module) -> VisionTransformer:
    """Every weight away from its default."""
    torch.manual_seed(0)
    for parameter in model.parameters():
        parameter.data += 0.2 * torch.randn_like(parameter)
    return model.eval()  # type: ignore[return-value]


def written(model: VisionTransformer, folder: Path, config: dict[str, Any] | None = None) -> Path:
    save_file(model.state_dict(), folder / "model.safetensors")
    if config is not None:
        (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder / "model.safetensors"


@torch.no_grad()
def assert_same(backbone: ViT, model: VisionTransformer, images: torch.Tensor = IMAGES) -> None:
    tokens = backbone.run(images, UNEDITED)
    assert torch.allclose(backbone.readout(tokens), model(images), atol=1e-5)


@pytest.mark.parametrize(
    ("other", "config"),
    [
        ({}, {"model_args": {"num_heads": 4}}),
        ({"act_layer": "quick_gelu"}, {"model_args": {"num_heads": 4, "act_layer": "quick_gelu"}}),
        ({"act_layer": "gelu_tanh"}, {"num_attention_heads": 4, "hidden_act": "gelu_tanh"}),
        (
            {"norm_layer": partial(LayerNorm, eps=1e-2)},
            {"num_attention_heads": 4, "layer_norm_eps": 1e-2},
        ),
        ({"global_pool": "avg", "fc_norm": False}, {"global_pool": "avg", "model_args": {"num_heads": 4}}),
        (
            {"global_pool": "avg", "fc_norm": False, "reg_tokens": 2, "pool_include_prefix": True},
            {"model_args": {"num_heads": 4, "global_pool": "avg", "pool_include_prefix": True}},
        ),
    ],
)
def test_a_config_beside_tells_what_no_weight_does(other: dict, config: dict, tmp_path: Path) -> None:
    model = noisy(VisionTransformer(**{**SHAPE, **other}))
    assert_same(load_backbone(written(model, tmp_path, config)), model)


@pytest.mark.parametrize(
    "name",
    [
        "vit_base_patch32_clip_quickgelu_224",
        "vit_base_patch16_clip_224",
        "vit_base_patch16_siglip_224",
        "vit_base_patch32_siglip_gap_256",
        "vit_huge_patch14_224",
        "vit_base_patch16_rpn_224",
        "aimv2_large_patch14_224",
        "vit_giant_patch14_reg4_dinov2",
        "vit_medium_patch16_reg4_gap_256",
        "deit3_small_patch16_224",
    ],
)
def test_timms_architecture_in_the_config_tells_everything(name: str, tmp_path: Path) -> None:
    small = {"embed_dim": 64, "num_heads": 4, "depth": 2, "patch_size": 8, "img_size": 16, "mlp_ratio": 3}
    model = noisy(timm.create_model(name, num_classes=0, **small))
    config = {"architecture": name, "pretrained_cfg": {"tag": "mae"}, "model_args": {"num_heads": 4, "mlp_ratio": 3}}
    backbone = load_backbone(written(model, tmp_path, config))
    assert_same(backbone, model)
    assert backbone.info.pretraining != "unknown"


@cache
def width_depth_and_heads(name: str) -> tuple[int, int, int]:
    with torch.device("meta"):
        model: Any = timm.create_model(name)
    return model.embed_dim, len(model.blocks), model.blocks[0].attn.num_heads


@pytest.mark.parametrize(("size", "heads"), HEADS.items())
def test_published_sizes_have_their_published_heads(size: tuple[int, int], heads: int) -> None:
    """Those of timm's models of that width and depth that read a class token, as MAE, DINO and DeiT files do."""
    for name in ("vit_tiny_patch16_224", "vit_small_patch16_224", "vit_base_patch16_224", "vit_large_patch16_224",
                 "vit_so400m_patch14_reg1_tipsv2", "vit_huge_patch14_224", "vit_giant_patch14_224",
                 "vit_giant_patch14_dinov2", "vit_gigantic_patch14_224"):  # fmt: skip
        width, depth, found = width_depth_and_heads(name)
        if (width, depth) == size:
            assert found == heads
            break
    else:
        pytest.fail(f"none of timm's has {size}")


def test_a_file_of_maes_vit_huge_has_sixteen_heads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Width and depth made small; heads of 80 numbers each as in the official file."""
    monkeypatch.setitem(HEADS, (160, 2), 2)
    model = noisy(VisionTransformer(**{**SHAPE, "embed_dim": 160, "num_heads": 2}))
    torch.save({"model": model.state_dict()}, tmp_path / "mae.pth")
    assert_same(load_backbone(tmp_path / "mae.pth"), model)
    assert not caplog.records


def test_a_guess_is_said_with_the_way_to_tell(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "selfprompt"):
        load_backbone(written(noisy(VisionTransformer(**SHAPE)), tmp_path))
    for word in ("1 heads", "GELU", "epsilon of 1e-06", "pooling by token", "config.json beside it", "num_heads"):
        assert word in caplog.text


@pytest.mark.parametrize(
    ("other", "config", "why"),
    [
        (
            {"pre_norm": True, "act_layer": "quick_gelu"},
            None,
            "GELU or QuickGELU, which no weight tells: put a config",
        ),
        ({"block_fn": ResPostBlock}, {"architecture": "vit_base_patch16_rope_224"}, "is a Eva, which lacks"),
        ({}, {"model_args": {"num_heads": 5}}, "fit no ViT"),
        ({}, {"model_args": {"no_such_argument": 5}}, "fit no ViT .*no_such_argument"),
        ({}, ["no", "dictionary"], "config.json is damaged"),
        ({}, {"model_args": {"depth": 99999999}}, "has 2 blocks and its metadata says depth 99999999"),
        ({}, {"model_args": {"img_size": "large"}}, "config.json is damaged .*img_size"),
        ({}, {"model_args": [4]}, "config.json is damaged .*model_args"),
        ({}, {"num_attention_heads": "foo"}, "config.json is damaged .*num_attention_heads"),
        ({}, {"interpolation": "foo"}, "config.json is damaged .*interpolation"),
        ({}, {"pretrained_cfg": {"interpolation": "foo"}}, "config.json is damaged .*interpolation"),
        ({}, {"pretrained_cfg": "foo"}, "config.json is damaged"),
        ({}, {"crop_pct": 0}, "config.json is damaged .*crop_pct"),
        ({}, {"mean": [0.5, 0.5]}, "config.json is damaged .*mean"),
        ({}, {"std": [0.5, 0.5, 0]}, "config.json is damaged .*std.2"),
        ({}, {"input_size": [3, 0, 16]}, "config.json is damaged .*input_size"),
    ],
)
def test_what_only_a_guess_could_read_is_refused(other: dict, config: Any, why: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=why):
        load_backbone(written(VisionTransformer(**{**SHAPE, **other}), tmp_path, config))


def test_a_damaged_config_is_named(tmp_path: Path) -> None:
    file = written(VisionTransformer(**SHAPE), tmp_path)
    (tmp_path / "config.json").write_text("{", encoding="utf-8")
    with pytest.raises(UserError, match=r"config\.json is damaged"):
        load_backbone(file)


def test_hidden_units_are_counted_to_the_last(tmp_path: Path) -> None:
    for width, hidden in ((1152, 4304), (1280, 5120), (1408, 6144), (384, 1441), (49, 103)):
        state = {
            "patch_embed.proj.weight": torch.empty(width, 3, 8, 8, device="meta"),
            "blocks.0.mlp.fc1.weight": torch.empty(hidden, width, device="meta"),
            "pos_embed": torch.empty(1, 4, width, device="meta"),
        }
        assert int(width * shown(state, tmp_path, None)["mlp_ratio"]) == hidden


def test_what_a_config_leaves_out_or_says_of_other_things_is_no_matter(tmp_path: Path) -> None:
    config = {"num_features": "text", "input_size": None, "crop_pct": None, "mean": None, "tag": None, "x": [1]}
    model = noisy(VisionTransformer(**SHAPE))
    assert_same(load_backbone(written(model, tmp_path, config | {"model_args": {"num_heads": 4}})), model)
