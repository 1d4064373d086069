"""E2VPT: free keys and values beside deep prompts."""

from __future__ import annotations

import pytest
import torch

from conftest import KINDS, edited, entering, make_backbone
from selfprompt.assembly import create_model


@pytest.mark.parametrize("kind", KINDS)
def test_without_key_values_it_is_vpt(kind: str, images: torch.Tensor) -> None:
    plain = create_model(make_backbone(kind), "vpt", num_classes=3, num_prompts=4)
    bare = create_model(make_backbone(kind), "e2vpt", num_classes=3, num_prompts=4, num_key_values=0)
    full = create_model(make_backbone(kind), "e2vpt", num_classes=3, num_prompts=4)
    for model in (plain, bare, full):
        model.initialize(seed=0)
    assert torch.allclose(plain.features(images), bare.features(images), atol=1e-5)
    assert not torch.allclose(plain.features(images), full.features(images), atol=1e-3)


def test_their_order_is_nothing_and_zeros_are_something(images: torch.Tensor) -> None:
    model = create_model(make_backbone(), "e2vpt", num_classes=3, num_prompts=4)
    model.initialize(seed=0)
    assert model.count_parameters()[0] == 3 * (4 + 5) * 32 + 32 * 3 + 3
    before = model.features(images)
    model.insertion.key_values.data = model.insertion.key_values.data.flip(2)
    assert torch.allclose(model.features(images), before, atol=1e-5)
    without = create_model(make_backbone(), "vpt", num_classes=3, num_prompts=4)
    without.initialize(seed=0)
    model.insertion.key_values.data.zero_()
    assert not torch.allclose(model.features(images), without.features(images), atol=1e-3)


def test_one_tensor_is_both_keys_and_values(images: torch.Tensor) -> None:
    model = create_model(make_backbone(), "e2vpt", num_classes=3, num_prompts=1, num_key_values=1)
    backbone, block = model.backbone, model.backbone.vit.blocks[0]
    x = entering(backbone, images).x
    q, k, v = block.attn.qkv(block.norm1(x)).unflatten(-1, (3, 2, 16)).permute(2, 0, 3, 1, 4)
    free = model.insertion.key_values[0].expand(4, -1, -1, -1)
    pk, pv = (t.expand(4, -1, -1, -1) for t in backbone.keys_values(0, model.prompts[0]))
    seen = ((q @ torch.cat([free, pk, k], 2).transpose(-2, -1)) / 4).softmax(-1) @ torch.cat([free, pv, v], 2)
    x = x + block.attn.proj(seen.transpose(1, 2).flatten(2))
    found = edited(model, 0, images)
    assert torch.allclose(found, x + block.mlp(block.norm2(x)), atol=1e-5)
