"""Official layouts, made here with random weights: each loads, and every weight arrives."""

from __future__ import annotations

import argparse
import json
import os
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from timm.models.vision_transformer import VisionTransformer

from selfprompt.backbones.load import load_backbone
from selfprompt.errors import UserError

SHAPE = {"img_size": 32, "patch_size": 8, "embed_dim": 128, "depth": 3, "num_heads": 2, "num_classes": 0}


def weights(**shape: object) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return {k: torch.randn_like(v) for k, v in VisionTransformer(**{**SHAPE, **shape}).state_dict().items()}


def assert_all_arrived(path: Path, expected: dict[str, torch.Tensor]) -> None:
    arrived = load_backbone(path).vit.state_dict()
    assert arrived.keys() == expected.keys()
    assert all(torch.equal(arrived[k], expected[k]) for k in expected)


def test_mae(tmp_path: Path) -> None:
    state = weights()
    decoder = {"decoder_embed.weight": torch.randn(8, 128), "mask_token": torch.randn(1, 1, 8)}
    torch.save({"model": state | decoder, "args": argparse.Namespace(lr=1)}, tmp_path / "mae.pth")
    assert_all_arrived(tmp_path / "mae.pth", state)
    assert load_backbone(tmp_path / "mae.pth").info.pretraining == "mae"


@pytest.mark.parametrize("prefix", ["module.base_encoder.", "module."])
def test_mocov3(prefix: str, tmp_path: Path) -> None:
    state = weights(embed_dim=144, num_heads=12)
    stored = {prefix + k: v for k, v in state.items()} | {prefix + "head.0.weight": torch.randn(4, 144)}
    if prefix == "module.base_encoder.":
        stored |= {"module.momentum_encoder." + k: v + 1 for k, v in state.items()}
        stored |= {"module.predictor.0.weight": torch.randn(4, 4)}
    torch.save({"epoch": 300, "arch": "vit_base", "state_dict": stored}, tmp_path / "vit-b-300ep.pth.tar")
    assert_all_arrived(tmp_path / "vit-b-300ep.pth.tar", state)
    backbone = load_backbone(tmp_path / "vit-b-300ep.pth.tar")
    assert (backbone.info.pretraining, backbone.num_heads) == ("mocov3", 12)


def test_dino(tmp_path: Path) -> None:
    state = weights()
    teacher = {"backbone." + k: v for k, v in state.items()} | {"head.mlp.0.weight": torch.randn(2, 2)}
    student = {"module." + k: v + 1 for k, v in teacher.items()}
    torch.save({"student": student, "teacher": teacher}, tmp_path / "full.pth")
    assert_all_arrived(tmp_path / "full.pth", state)
    assert load_backbone(tmp_path / "full.pth").info.pretraining == "dino"
    torch.save(state, tmp_path / "backbone.pth")
    assert_all_arrived(tmp_path / "backbone.pth", state)


def test_dinov2_with_registers(tmp_path: Path) -> None:
    state = weights(reg_tokens=4, no_embed_class=True, init_values=1.0)
    positions = torch.randn(1, 1, 128)
    stored = {k: v for k, v in state.items() if k not in ("reg_token", "pos_embed", "cls_token")}
    stored |= {"register_tokens": state["reg_token"], "mask_token": torch.randn(1, 128)}
    stored |= {"cls_token": state["cls_token"] - positions}
    stored |= {"pos_embed": torch.cat([positions, state["pos_embed"]], 1)}
    torch.save(stored, tmp_path / "dinov2.pth")
    arrived = load_backbone(tmp_path / "dinov2.pth").vit.state_dict()
    assert arrived.keys() == state.keys()
    assert all(torch.allclose(arrived[k], state[k], atol=1e-6) for k in state)


@pytest.mark.parametrize(
    "shape",
    [
        {"qk_norm": True, "init_values": 0.1},
        {"class_token": False, "global_pool": "avg"},
        {"pre_norm": True, "qkv_bias": False, "act_layer": "quick_gelu"},
        {"class_token": False, "global_pool": "map"},
        {"reg_tokens": 2, "no_embed_class": True, "global_pool": "avg"},
    ],
)
def test_timm_files_with_their_config_beside(shape: dict, tmp_path: Path) -> None:
    state = weights(**shape)
    save_file(state, tmp_path / "model.safetensors")
    told = {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5], "interpolation": "bilinear", "crop_pct": 0.9}
    config = {"architecture": "vit", "pretrained_cfg": told, "model_args": shape}
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    assert_all_arrived(tmp_path / "model.safetensors", state)
    info = load_backbone(tmp_path / "model.safetensors").info
    assert (info.mean, info.interpolation, info.crop_fraction) == ((0.5, 0.5, 0.5), "bilinear", 0.9)


class RunsCode:
    def __reduce__(self) -> tuple:
        return os.mkdir, ("pwned",)


def test_pickled_code_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"model": weights(), "extra": RunsCode()}, "evil.pth")
    (tmp_path / "plain.pth").write_bytes(pickle.dumps(RunsCode()))
    for name in ("evil.pth", "plain.pth"):
        with pytest.raises(UserError, match=rf"{name} .*(would run code|no weights file)"):
            load_backbone(tmp_path / name)
    assert not (tmp_path / "pwned").exists()


@pytest.mark.parametrize("name", ["cut.safetensors", "cut.pth", "text.pth", "missing.pth"])
def test_damaged_and_missing_files_are_named(name: str, tmp_path: Path) -> None:
    save_file(weights(), tmp_path / "cut.safetensors")
    torch.save(weights(), tmp_path / "cut.pth")
    for whole in (tmp_path / "cut.safetensors", tmp_path / "cut.pth"):
        whole.write_bytes(whole.read_bytes()[:1000])
    (tmp_path / "text.pth").write_text("hello", encoding="utf-8")
    with pytest.raises(UserError, match=name):
        load_backbone(tmp_path / name)


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    torch.save({"conv1.weight": torch.randn(2, 2)}, tmp_path / "resnet.pth")
    with pytest.raises(UserError, match=r"resnet.pth holds no ViT that is known \(it has conv1.weight\)"):
        load_backbone(tmp_path / "resnet.pth")
    odd = weights()
    odd["blocks.1.attn.extra"] = torch.randn(2)
    torch.save(odd, tmp_path / "odd.pth")
    with pytest.raises(UserError, match=r"unknown weight blocks.1.attn.extra"):
        load_backbone(tmp_path / "odd.pth")


@pytest.mark.parametrize("nested", [(), ("state_dict",), ("module",), ("checkpoint", "state_dict")])
@pytest.mark.parametrize("prefix", ["_orig_mod.", "model.", "module._orig_mod.", "encoder.", "net.", "a.b.c.", ""])
def test_prefixes_and_wrappings_are_found(prefix: str, nested: tuple[str, ...], tmp_path: Path) -> None:
    state = weights()
    stored: dict = {prefix + k: v for k, v in state.items()} | {"criterion.weight": torch.ones(2)}
    if not prefix:
        stored.pop("criterion.weight")
    for key in nested:
        stored = {key: stored, "epoch": 3, "optimizer": {0: torch.ones(1)}}
    torch.save(stored, tmp_path / "file.ckpt")
    assert_all_arrived(tmp_path / "file.ckpt", state)
    assert load_backbone(tmp_path / "file.ckpt").num_heads == 2


def test_of_several_vits_none_is_taken_at_random(tmp_path: Path) -> None:
    both = {p + k: v for k, v in weights().items() for p in ("student.", "ema.")}
    torch.save(both, tmp_path / "one.pth")
    torch.save({"student": weights(), "ema": weights()}, tmp_path / "two.pth")
    for name in ("one.pth", "two.pth"):
        with pytest.raises(UserError, match=rf"{name} holds several ViTs \(student.*ema"):
            load_backbone(tmp_path / name)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_files_are_taken_in_float32(dtype: torch.dtype, tmp_path: Path) -> None:
    half = {k: v.to(dtype) for k, v in weights().items()}
    save_file(half, tmp_path / "half.safetensors")
    assert_all_arrived(tmp_path / "half.safetensors", {k: v.float() for k, v in half.items()})


@pytest.mark.parametrize("channels", [1, 4])
def test_files_of_other_channels_are_refused(channels: int, tmp_path: Path) -> None:
    torch.save(weights(in_chans=channels), tmp_path / "grey.pth")
    with pytest.raises(UserError, match=rf"grey.pth takes images of {channels} channels"):
        load_backbone(tmp_path / "grey.pth")


@pytest.mark.parametrize(("extra", "kind"), [({}, "mae"), ({"head.weight": torch.ones(5, 128)}, "supervised")])
def test_a_classifier_tells_that_labels_were_seen(extra: dict, kind: str, tmp_path: Path) -> None:
    torch.save({"model": weights(global_pool="avg") | extra}, tmp_path / "file.pth")
    assert load_backbone(tmp_path / "file.pth").info.pretraining == kind
