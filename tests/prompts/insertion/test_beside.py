"""APT: a memory beside attention."""

from __future__ import annotations

import torch

from conftest import edited, entering, make_backbone
from selfprompt.assembly import create_model


def test_one_block_is_the_papers_equation(images: torch.Tensor) -> None:
    model = create_model(make_backbone(), "apt", num_classes=3, num_prompts=4, rank=2)
    model.initialize(seed=1)
    assert model.count_parameters()[0] == 3 * (4 * 32 + 2 * 2 * 32 + 1) + 32 * 3 + 3
    insertion, block, prompts = model.insertion, model.backbone.vit.blocks[1], model.prompts[1]
    insertion.up.data.normal_()
    insertion.scale.data[1] = 0.3
    x = entering(model.backbone, images).x
    h = block.norm1(x)
    keys = prompts + (prompts @ insertion.down[1].T) @ insertion.up[1].T
    scores = (h @ keys.T).clamp(min=0)
    added = scores.max(dim=-1, keepdim=True).values * (scores @ prompts)
    x = x + torch.tensor(0.3).exp() * (block.attn(h) + added)
    found = edited(model, 1, images)
    assert torch.allclose(found, x + block.mlp(block.norm2(x)), atol=1e-5)


def test_zero_prompts_and_scale_are_the_frozen_backbone(images: torch.Tensor) -> None:
    model = create_model(make_backbone(), "apt", num_classes=3, num_prompts=4)
    assert torch.allclose(model.features(images), make_backbone().vit.eval()(images), atol=1e-5)
    model.initialize(seed=1)
    assert not torch.allclose(model.features(images), make_backbone().vit.eval()(images), atol=1e-4)
