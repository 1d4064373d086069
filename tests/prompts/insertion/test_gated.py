"""GateVPT: between VPT-shallow (gates open) and one set of prompts shown to every block (gates closed)."""

from __future__ import annotations

import pytest
import torch

from conftest import KINDS, entering, make_backbone
from selfprompt.assembly import create_model
from selfprompt.backbones.base import BlockEdit
from selfprompt.model import PromptedModel


def gated(kind: str, gate: float) -> PromptedModel:
    model = create_model(make_backbone(kind), "gatevpt", num_classes=3, num_prompts=5, gate_init=-gate)
    model.initialize(seed=3)
    model.prompts.data *= 5
    return model


@pytest.mark.parametrize("kind", KINDS)
def test_open_gates_are_shallow_prompts(kind: str, images: torch.Tensor) -> None:
    model = gated(kind, gate=40.0)
    shallow = create_model(make_backbone(kind), "vpt", num_classes=3, num_prompts=5, shallow=True)
    shallow.prompts.data.copy_(model.prompts)
    assert torch.allclose(model.features(images), shallow.features(images), atol=1e-5)
    model.insertion.gate_priors.data.zero_()
    assert not torch.allclose(model.features(images), shallow.features(images), atol=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_closed_gates_show_the_same_prompts_to_every_block(kind: str, images: torch.Tensor) -> None:
    model = gated(kind, gate=-40.0)
    deep = create_model(make_backbone(kind), "vpt", num_classes=3, num_prompts=5)
    deep.prompts.data.copy_(model.prompts.expand(3, -1, -1))
    assert torch.allclose(model.features(images), deep.features(images), atol=1e-5)


def test_published_gates_start_almost_closed_and_learn(images: torch.Tensor) -> None:
    model = create_model(make_backbone(), "gatevpt", num_classes=3, num_prompts=5)
    model.initialize()
    assert torch.allclose(model.insertion.gate_priors.sigmoid(), torch.tensor(0.0067), atol=1e-4)
    assert model.count_parameters()[0] == 5 * 32 + 2 + 3 + 32 * 3 + 3
    assert len(model.insertion.gate_priors) == 2
    assert len(model.insertion.temperatures) == 3
    model(images).square().sum().backward()
    assert (model.insertion.gate_priors.grad != 0).all()
    assert (model.insertion.temperatures.grad != 0).all()


def test_temperatures_divide_scores_and_stay_in_range(images: torch.Tensor) -> None:
    model = gated("class token", gate=0.0)
    before = model.features(images)
    model.insertion.temperatures.data.copy_(torch.tensor([50.0, 0.001, 2.0]))
    assert not torch.allclose(model.features(images), before, atol=1e-3)
    assert torch.allclose(model.insertion.temperatures, torch.tensor([10.0, 0.01, 2.0]))
    backbone, tokens = model.backbone, entering(model.backbone, images)
    normal = backbone.normalize(0, tokens.x)
    hot = backbone.attention(0, normal, normal, BlockEdit(temperature=torch.tensor(1e6)))
    _, values = backbone.keys_values(0, tokens.x)
    everywhere = values.mean(dim=2, keepdim=True).expand_as(values).transpose(1, 2).flatten(2)
    assert torch.allclose(hot, backbone.vit.blocks[0].attn.proj(everywhere), atol=1e-4)
