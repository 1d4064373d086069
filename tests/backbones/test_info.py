"""What is known of a backbone without its weights is what is known of it with them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import safetensors.torch
import timm
import torch
from timm.models.vision_transformer import VisionTransformer

from conftest import TINY, make_backbone
from selfprompt.backbones import timm_hub
from selfprompt.backbones.load import info, load_backbone
from selfprompt.errors import UserError


def state(**more: object) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return VisionTransformer(**{**TINY, "embed_dim": 64, "num_heads": 1, **more}).state_dict()


@pytest.fixture(params=["builtin", "pth", "safetensors", "nested"])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "builtin":
        return "builtin"
    path = tmp_path / f"weights.{'safetensors' if request.param == 'safetensors' else 'pth'}"
    if request.param == "safetensors":
        safetensors.torch.save_file(state(), path)
    else:
        prefix = "backbone." if request.param == "nested" else ""
        torch.save({"model": {prefix + k: v for k, v in state().items()}}, path)
    return str(path)


@pytest.mark.parametrize("size", [None, 32, 64])
def test_it_is_the_loaded_backbones(source: str, size: int | None) -> None:
    assert info(source, size) == load_backbone(source, size).info


def test_refusals_are_the_same(source: str) -> None:
    for size in (0, 33, 10**6):
        with pytest.raises(UserError) as known:
            load_backbone(source, size)
        with pytest.raises(UserError, match=re.escape(str(known.value))):
            info(source, size)


def test_no_weight_is_read(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    torch.save({"model": {k: v * torch.nan for k, v in state().items()}}, path)
    assert info(path).image_size == 32
    with pytest.raises(UserError, match="NaN"):
        load_backbone(path)


@pytest.mark.parametrize("size", [None, 64])
def test_of_a_name_nothing_is_downloaded(size: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    name, create = "vit_tiny_patch16_224.augreg_in21k", timm.create_model
    asked = []

    def creating(name: str, pretrained: bool = False, **options: object) -> torch.nn.Module:
        asked.append(pretrained)
        return create(name, **options)

    monkeypatch.setattr(timm_hub.timm, "create_model", creating)
    found = info(name, size)
    assert asked
    assert not any(asked)
    assert found == load_backbone(name, size).info
    assert any(asked)


def test_of_a_module_it_is_its_own() -> None:
    backbone = make_backbone()
    assert info(backbone) is backbone.info
