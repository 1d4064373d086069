"""LoRA: nothing at first, then an update of low rank; PEFT is an extra."""

from __future__ import annotations

import sys

import pytest
import torch

from conftest import KINDS, make_backbone
from selfprompt.assembly import create_model
from selfprompt.backbones.base import UNEDITED
from selfprompt.backbones.text import wrap
from selfprompt.errors import UserError
from selfprompt.prompts.insertion.low_rank import LowRank
from tiny_models import FAMILIES, batch, make_model, tokenizer


@pytest.mark.parametrize("family", FAMILIES)
def test_language_models_have_it_at_every_block(family: str) -> None:
    plain = wrap(make_model(family), tokenizer(), family)
    model = create_model(plain, "lora", num_classes=2, rank=2)
    texts = batch([[7, 8, 9, 10], [11, 12]])
    assert torch.allclose(model.features(texts), plain.readout(plain.run(texts, UNEDITED)), atol=1e-5)
    model(texts).square().sum().backward()
    moved = [
        name for name, p in model.named_parameters() if p.requires_grad and "lora_B" in name and p.grad is not None
    ]
    assert len(moved) >= plain.depth if family != "AlbertForMaskedLM" else moved


def test_a_model_without_known_projections_is_refused() -> None:
    odd = make_backbone()
    for block in odd.vit.blocks:
        block.attn.unheard_of = block.attn.qkv
        del block.attn.qkv
    with pytest.raises(UserError, match="no projections that lora knows"):
        LowRank(2, 2.0).attach(odd, 0)


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
