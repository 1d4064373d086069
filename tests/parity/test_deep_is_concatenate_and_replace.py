"""Deep prompts as keys and values against the published form: concatenate, run all tokens, replace.

The reference is written from the equations of VPT (arXiv 2203.12119) over timm's own blocks.
"""

from __future__ import annotations

import pytest
import torch

from conftest import KINDS, make_backbone, plain_blocks
from selfprompt.assembly import create_model
from selfprompt.model import PromptedModel

READOUTS = ("backbone", "mae_average", "fresh_average")


def reference_features(model: PromptedModel, images: torch.Tensor, readout: str) -> torch.Tensor:
    vit, prompts = model.backbone.vit, model.prompts
    prefix, count = vit.num_prefix_tokens, prompts.shape[1]
    x, blocks = plain_blocks(vit, images)
    for i, block in enumerate(blocks):
        patches = x[:, prefix:] if i == 0 else x[:, prefix + count :]
        x = block(torch.cat([x[:, :prefix], prompts[i].expand(len(x), -1, -1), patches], dim=1))
    if readout != "backbone":
        norm = vit.norm if not isinstance(vit.norm, torch.nn.Identity) else vit.fc_norm
        norm = torch.nn.LayerNorm(32, eps=1e-6) if readout == "fresh_average" else norm
        return norm(x[:, prefix:].mean(dim=1))
    return vit.forward_head(vit.norm(torch.cat([x[:, :prefix], x[:, prefix + count :]], dim=1)), pre_logits=True)


def relative(a: torch.Tensor, b: torch.Tensor) -> float:
    return ((a - b).norm() / b.norm()).item()


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("readout", READOUTS)
@pytest.mark.parametrize("kind", KINDS)
def test_outputs_and_gradients_are_equal(kind: str, readout: str, fused: bool, images: torch.Tensor) -> None:
    model = create_model(make_backbone(kind), "vpt", num_classes=3, num_prompts=5, readout=readout)
    model.initialize(seed=3)
    model.prompts.data *= 3
    model.backbone.fused_attention = fused

    features = model.features(images)
    weights = torch.randn(features.shape, generator=torch.Generator().manual_seed(5))
    (ours,) = torch.autograd.grad((features * weights).sum(), model.prompts)
    expected = reference_features(model, images, readout)
    (theirs,) = torch.autograd.grad((expected * weights).sum(), model.prompts)

    assert (features - expected).abs().max() < 1e-5
    assert relative(ours, theirs) < 1e-4
    for other in {*READOUTS} - {readout}:
        assert relative(reference_features(model, images, other), expected) > 1e-3  # the test can fail


@pytest.mark.parametrize("kind", KINDS)
def test_shallow_prompts_flow_as_tokens(kind: str, images: torch.Tensor) -> None:
    model = create_model(make_backbone(kind), "vpt", num_classes=3, num_prompts=5, shallow=True)
    model.initialize(seed=3)
    vit = model.backbone.vit
    prefix = vit.num_prefix_tokens
    x, blocks = plain_blocks(vit, images)
    x = torch.cat([x[:, :prefix], model.prompts[0].expand(4, -1, -1), x[:, prefix:]], dim=1)
    for block in blocks:
        x = block(x)
    x = torch.cat([x[:, :prefix], x[:, prefix + 5 :]], dim=1)
    expected = vit.forward_head(vit.norm(x), pre_logits=True)
    assert (model.features(images) - expected).abs().max() < 1e-5
