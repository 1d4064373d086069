"""What the head reads under MAE, against the papers' equations in plain torch on the weights themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from conftest import METHODS, PROMPTED, entering, make_backbone
from selfprompt.adapters.format import CONFIG_NAME
from selfprompt.assembly import create_model, load
from selfprompt.comparison.suites import MINI, SUITES
from selfprompt.data.datasets import Examples
from selfprompt.methods.recipe import Recipe
from selfprompt.model import PromptedModel
from selfprompt.runs.config import RunConfig
from selfprompt.runs.presets import PRESETS
from selfprompt.tuning.fit import fit

PRETRAINED_NORM = {"spt", "gatevpt"}
TOKENS = ("vpt", "vpt:shallow", "spt", "spt:shallow", "pc", "vfpt", "e2vpt", "gatevpt", "linear", "full")


def under_mae(name: str, **fields: Any) -> PromptedModel:
    method, _, shallow = name.partition(":")
    if shallow:
        fields = {"shallow": True, **fields}
    if method in PROMPTED:
        fields = {"num_prompts": 5, **fields}
    model = create_model(make_backbone(pretraining="mae"), method, num_classes=3, **fields)
    model.initialize([torch.randn(6, 3, 32, 32, generator=torch.Generator().manual_seed(2))])
    if model.prompts is not None:
        model.prompts.data *= 3
    return model.eval()


def norm(x: Tensor, layer: torch.nn.Module | None) -> Tensor:
    mean, variance = x.mean(-1, keepdim=True), x.var(-1, unbiased=False, keepdim=True)
    x = (x - mean) / (variance + 1e-6).sqrt()
    return x if layer is None else x * layer.weight + layer.bias


def block(part: torch.nn.Module, x: Tensor, more: Tensor | None = None, tau: Tensor | float = 1.0) -> Tensor:
    """A ViT block in plain torch; ``more`` (heads, P, d) are keys and values that no projection made."""
    heads, width = part.attn.num_heads, x.shape[-1]
    made = norm(x, part.norm1) @ part.attn.qkv.weight.T + part.attn.qkv.bias
    q, k, v = (t.reshape(*t.shape[:2], heads, -1).transpose(1, 2) for t in made.split(width, dim=-1))
    if more is not None:
        k, v = (torch.cat([more.expand(len(x), -1, -1, -1), t], dim=2) for t in (k, v))
    weights = (q @ k.transpose(2, 3) / (width / heads) ** 0.5 / tau).softmax(-1)
    out = (weights @ v).transpose(1, 2).reshape(x.shape)
    x = x + out @ part.attn.proj.weight.T + part.attn.proj.bias
    hidden = F.gelu(norm(x, part.norm2) @ part.mlp.fc1.weight.T + part.mlp.fc1.bias)
    return x + hidden @ part.mlp.fc2.weight.T + part.mlp.fc2.bias


def published_feature(model: PromptedModel, images: Tensor, fresh: bool) -> Tensor:
    """``[class ; prompts ; patches]`` through all blocks, then the mean over all but the class token."""
    vit, insertion = model.backbone.vit, model.insertion
    patches = F.conv2d(images, vit.patch_embed.proj.weight, vit.patch_embed.proj.bias, stride=8)
    patches = patches.flatten(2).transpose(1, 2)
    x = torch.cat([vit.cls_token.expand(len(images), -1, -1), patches], dim=1) + vit.pos_embed
    prompts = None
    for i, part in enumerate(vit.blocks):
        more = insertion.key_values[i] if hasattr(insertion, "key_values") else None
        if insertion.prompts is not None and (i == 0 or len(insertion.prompts) > 1):  # deep ones replace the last
            prompts = insertion.layer(i, 1).expand(len(images), -1, -1)
        elif prompts is not None and hasattr(insertion, "gate_priors"):
            gate = insertion.gate_priors[i - 1].sigmoid()
            prompts = gate * x[:, 1 : 1 + prompts.shape[1]] + (1 - gate) * prompts
        elif prompts is not None:
            prompts = x[:, 1 : 1 + prompts.shape[1]]
        if prompts is not None:
            x = torch.cat([x[:, :1], prompts, x[:, -patches.shape[1] :]], dim=1)
        x = block(part, x, more)
    return norm(x[:, 1:].mean(dim=1), None if fresh else vit.norm)


@pytest.mark.parametrize("name", TOKENS)
def test_under_mae_features_are_the_papers(name: str, images: Tensor) -> None:
    model = under_mae(name)
    fresh = name.partition(":")[0] not in PRETRAINED_NORM
    expected = published_feature(model, images, fresh)
    assert torch.allclose(model.features(images), expected, atol=1e-5)
    other = under_mae(name, readout="mae_average" if fresh else "fresh_average")
    assert torch.allclose(other.features(images), published_feature(other, images, not fresh), atol=1e-5)
    own = under_mae(name, readout="backbone")
    for wrong in (own.features(images), other.features(images)):
        assert (wrong - expected).norm() / expected.norm() > 1e-3


@pytest.mark.parametrize("method", METHODS)
def test_the_readout_follows_from_the_pretraining(method: str) -> None:
    published = "mae_average" if method in PRETRAINED_NORM else "fresh_average"
    for pretraining, readout in (("mae", published), ("supervised", "backbone"), ("mocov3", "backbone")):
        model = create_model(make_backbone(pretraining=pretraining), method, num_classes=3)
        assert model.readout == model.method.readout == readout
        chosen = create_model(make_backbone(pretraining=pretraining), method, num_classes=3, readout="backbone")
        assert chosen.readout == "backbone"


@pytest.mark.parametrize("readout", ["mae_average", "fresh_average"])
@pytest.mark.parametrize("name", [*TOKENS, "bias", "cvpt", "apt"])
def test_it_is_kept_and_trains_what_it_reads(name: str, readout: str, images: Tensor, tmp_path: Path) -> None:
    model = under_mae(name, readout=readout)
    trained = {n for n, p in model.named_parameters() if p.requires_grad}
    before = {k: v.clone() for k, v in model.state_dict().items()}
    pixels = torch.randint(0, 256, (12, 32, 32, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    examples = Examples(list(pixels.numpy()), torch.arange(12).remainder(3).numpy())
    fit(model, examples, examples, recipe=Recipe(epochs=3, batch_size=4, lr=1e-2))
    if name != "pc":
        after = model.state_dict()
        assert {k for k in before if not torch.equal(before[k], after[k])} == trained
    expected = model(images)
    assert torch.allclose(torch.cat([model(image[None]) for image in images]), expected, atol=1e-5)
    model.save_pretrained(tmp_path)
    assert f'"readout": "{readout}"' in (tmp_path / CONFIG_NAME).read_text(encoding="utf-8")
    back = load(tmp_path, backbone=make_backbone(pretraining="mae"))
    assert torch.allclose(back(images), expected, atol=1e-6)


def test_dropout_leaves_the_same_out_of_a_prompts_keys_and_its_output(images: Tensor) -> None:
    model = under_mae("vpt", prompt_dropout=0.5).train()
    torch.manual_seed(0)
    found = model.features(images)
    torch.manual_seed(0)
    insertion, backbone = model.insertion, model.backbone
    kept = [insertion.layer(i, len(images)) for i in range(backbone.depth)]
    tokens = entering(backbone, images)
    for i in range(backbone.depth):
        patches = tokens.x[:, -backbone.num_patches :]
        tokens = backbone.block(i, type(tokens)(torch.cat([tokens.x[:, :1], kept[i], patches], dim=1), 1))
    assert torch.allclose(found, backbone.readout(tokens, "fresh_average"), atol=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_committed_settings_name_the_readout(method: str) -> None:
    assert MINI.fields["readout"] == PRESETS["builtin"]["fields"]["readout"] == "backbone"
    assert RunConfig.resolve(method=method).method.readout == "backbone"
    published = "mae_average" if method in PRETRAINED_NORM else "fresh_average"
    assert RunConfig.resolve("mnist5k", "builtin", method).method.readout == published
    assert not any("readout" in suite.fields for name in ("vtab1k", "fgvc") for suite in SUITES[name].values())
