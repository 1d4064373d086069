"""CVPT: tokens read prompts in a second attention that has the block's own weights."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from conftest import KINDS, edited, entering, make_backbone
from selfprompt.assembly import create_model
from selfprompt.model import PromptedModel


def cross(kind: str = "class token", num_prompts: int = 4) -> PromptedModel:
    model = create_model(make_backbone(kind), "cvpt", num_classes=3, num_prompts=num_prompts)
    model.initialize(seed=3)
    model.prompts.data *= 5
    return model


def test_one_block_is_the_papers_equation(images: torch.Tensor) -> None:
    model = cross()
    block, x = model.backbone.vit.blocks[0], entering(model.backbone, images).x
    prompts, attn, heads = model.prompts[0], model.backbone.vit.blocks[0].attn, 2
    x = x + attn(block.norm1(x))
    wq, wk, wv = attn.qkv.weight.split(32)
    bq, bk, bv = attn.qkv.bias.split(32)

    def split(t: torch.Tensor) -> torch.Tensor:
        return t.unflatten(-1, (heads, -1)).transpose(-3, -2)

    q, k, v = split(F.linear(x, wq, bq)), split(F.linear(prompts, wk, bk)), split(F.linear(prompts, wv, bv))
    read = ((q @ k.transpose(-2, -1)) / 4).softmax(-1) @ v
    x = x + attn.proj(read.transpose(-3, -2).flatten(-2))
    expected = x + block.mlp(block.norm2(x))
    found = edited(model, 0, images)
    assert torch.allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_doubled_prompts_change_nothing(kind: str, images: torch.Tensor) -> None:
    model, doubled = cross(kind), cross(kind, num_prompts=8)
    doubled.prompts.data.copy_(model.prompts.repeat(1, 2, 1))
    assert torch.allclose(model.features(images), doubled.features(images), atol=1e-5)


def test_equal_prompts_add_a_constant_and_zeros_are_not_neutral(images: torch.Tensor) -> None:
    backbone = make_backbone()
    x = entering(backbone, images).x
    for prompts in (torch.randn(1, 32).expand(4, 32), torch.zeros(4, 32)):
        read = backbone.cross_attention(1, x, backbone.keys_values(1, prompts, normalize=False))
        assert torch.allclose(read, read[:1, :1].expand_as(read), atol=1e-5)
        assert read.abs().max() > 1e-3


def test_neither_side_is_normalised(images: torch.Tensor) -> None:
    backbone = make_backbone()
    x, prompts = entering(backbone, images).x, torch.randn(4, 32)
    kv = backbone.keys_values(0, prompts, normalize=False)
    plain = backbone.cross_attention(0, x, kv)
    assert not torch.allclose(plain, backbone.cross_attention(0, backbone.vit.blocks[0].norm1(x), kv), atol=1e-3)
    assert not torch.allclose(plain, backbone.cross_attention(0, x, backbone.keys_values(0, prompts)), atol=1e-3)


def test_the_start_shrinks_with_the_number_of_prompts() -> None:
    for count in (4, 100):
        model = create_model(make_backbone(), "cvpt", num_classes=3, num_prompts=count)
        model.initialize()
        assert model.count_parameters()[0] == 3 * count * 32 + 32 * 3 + 3
        bound = (6 / ((count + 3) * 32)) ** 0.5
        assert 0.9 * bound < model.prompts.abs().max() <= bound
