"""Official layouts, made here with random weights: each loads, and every weight arrives."""

from __future__ import annotations

import argparse
import json
import os
import pickle
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from timm.models.vision_transformer import VisionTransformer

from selfprompt.backbones.load import load_backbone
from selfprompt.errors import UserError

SHAPE = {"img_size": 32, "patch_size": 8, "embed_dim": 128, "depth": 3, "num_heads": 2, "num_classes": 0}


def weights(**shape: Any) -> dict[str, torch.Tensor]:
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


@pytest.mark.parametrize(
    ("key", "value", "why"),
    [
        ("patch_embed.proj.weight", torch.randn(128, 192), r"has the shape \(128, 192\)"),
        ("patch_embed.proj.weight", torch.zeros(0, 3, 8, 8), r"has the shape \(0, 3, 8, 8\)"),
        ("pos_embed", torch.tensor(1.0), r"has the shape \(\)"),
        ("cls_token", torch.zeros(128), r"has the shape \(128,\)"),
        ("blocks.0.mlp.fc1.weight", torch.zeros(()), r"has the shape \(\)"),
        ("blocks.foo.attn.qkv.weight", torch.zeros(2), "is of none of the 4 blocks"),
        ("blocks.99999999.attn.qkv.weight", torch.zeros(2), "is of none of the 4 blocks"),
        ("blocks.1.attn.qkv.weight", torch.ones(384, 128, dtype=torch.int64), r"holds no plain floats \(torch.int64"),
        ("norm.weight", torch.full((128,), torch.nan), "is NaN or infinite"),
        ("norm.weight", torch.full((128,), 1e300, dtype=torch.float64), "is NaN or infinite"),
        ("norm.bias", torch.zeros(128).to_sparse(), "holds no plain floats .*sparse"),
        ("norm.bias", torch.zeros(128, device="meta"), "holds no plain floats .*meta"),
    ],
)
def test_a_weight_that_is_none_is_named_with_its_file(
    key: str, value: torch.Tensor, why: str, tmp_path: Path
) -> None:
    torch.save({"model": weights() | {key: value}}, tmp_path / "odd.pth")
    with pytest.raises(UserError, match=rf"odd\.pth: {re.escape(key)} {why}"):
        load_backbone(tmp_path / "odd.pth")


def test_dinov2s_parts_that_do_not_fit_are_named(tmp_path: Path) -> None:
    state = weights(init_values=1.0) | {"mask_token": torch.zeros(1, 128), "register_tokens": torch.zeros(1, 4, 128)}
    for part in ({"pos_embed": torch.zeros(1, 17, 1)}, {"cls_token": torch.zeros(1, 2, 128)}):
        torch.save(state | part, tmp_path / "odd.pth")
        with pytest.raises(UserError, match=r"odd\.pth"):
            load_backbone(tmp_path / "odd.pth")


def test_nothing_and_no_tensors_are_refused(tmp_path: Path) -> None:
    for contents in ({}, {"model": {}}, {"patch_embed.proj.weight": [1.0], "blocks.0.attn.qkv.weight": 2}):
        torch.save(contents, tmp_path / "none.pth")
        with pytest.raises(UserError, match=r"none\.pth holds no ViT that is known"):
            load_backbone(tmp_path / "none.pth")


def test_however_weights_lie_in_a_file_they_arrive(tmp_path: Path) -> None:
    state = weights()
    turned = {k: v.T.contiguous().T.double() if v.ndim == 2 else v.double() for k, v in state.items()}
    turned["norm.bias"] = turned["norm.weight"]  # of one storage
    torch.save(turned, tmp_path / "turned.pth")
    assert_all_arrived(tmp_path / "turned.pth", state | {"norm.bias": state["norm.weight"]})
    vit = load_backbone(tmp_path / "turned.pth").vit
    assert all(p.is_contiguous() and p.dtype == torch.float32 for p in vit.parameters())
    assert vit.norm.bias.data_ptr() != vit.norm.weight.data_ptr()


OURS = {
    "architecture": {"img_size": 32, "patch_size": 8, "embed_dim": 128, "depth": 2, "num_heads": 2},
    "pretraining": "mae", "mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic", "crop_fraction": 1.0,
}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"architecture": None}, "architecture: "),
        ({"architecture": [1]}, "architecture: "),
        ({"architecture": OURS["architecture"] | {"depth": 99999999}}, "its metadata says depth 9999"),
        ({"architecture": OURS["architecture"] | {"depth": "two"}}, "has 2 blocks and its metadata says depth 'two'"),
        ({"architecture": OURS["architecture"] | {"embed_dim": 10**6}}, "has the shape"),
        ({"architecture": OURS["architecture"] | {"num_heads": 0}}, "fit no ViT"),
        ({"pretraining": "magic"}, "pretraining: "),
        ({"mean": [0.5, 0.5]}, "mean"),
        ({"std": [0.5, 0.5, 0]}, "std.2"),
        ({"interpolation": "foo"}, "interpolation: "),
        ({"crop_fraction": 0}, "crop_fraction: "),
        (None, "valid dictionary"),
    ],
)
def test_a_header_of_ours_is_checked(change: dict | None, why: str, tmp_path: Path) -> None:
    state = weights(depth=2, num_heads=2)
    save_file(state, tmp_path / "ours.safetensors", metadata={"selfprompt": json.dumps(OURS)})
    assert load_backbone(tmp_path / "ours.safetensors").info.mean == (0.5, 0.5, 0.5)
    header = [1, 2] if change is None else {k: v for k, v in (OURS | change).items() if v is not None}
    save_file(state, tmp_path / "ours.safetensors", metadata={"selfprompt": json.dumps(header)})
    with pytest.raises(UserError, match=rf"ours\.safetensors.*{why}"):
        load_backbone(tmp_path / "ours.safetensors")
