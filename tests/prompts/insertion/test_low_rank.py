"""LoRA: nothing at first, then an update of low rank; PEFT is an extra."""

from __future__ import annotations

import sys

import pytest
import torch

from conftest import KINDS, make_backbone
from selfprompt.errors import UserError
from selfprompt.model import create_model


@pytest.mark.parametrize("kind", KINDS)
def test_it_starts_as_the_frozen_backbone(kind: str, images: torch.Tensor) -> None:
    model = create_model(make_backbone(kind), "lora", num_classes=3, rank=2)
    assert torch.allclose(model.features(images), make_backbone(kind).vit.eval()(images), atol=1e-5)
    assert model.backbone_hash == make_backbone(kind).fingerprint()


def test_the_update_has_its_rank(images: torch.Tensor) -> None:
    model = create_model(make_backbone(), "lora", num_classes=3, rank=2)
    assert model.count_parameters()[0] == 3 * 2 * (32 + 96) + 32 * 3 + 3
    qkv = model.backbone.vit.blocks[0].attn.qkv
    torch.nn.init.normal_(qkv.lora_B["default"].weight)
    probes = torch.randn(20, 32)
    assert torch.linalg.matrix_rank(qkv(probes) - qkv.base_layer(probes), rtol=1e-4) == 2


def test_without_peft_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(UserError, match=r"needs PEFT: pip install 'selfprompt\[peft\]'"):
        create_model(make_backbone(), "lora", num_classes=3)
