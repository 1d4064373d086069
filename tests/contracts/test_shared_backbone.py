"""A backbone that somebody else holds stays as it is, whatever any method does with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from timm.models.vision_transformer import VisionTransformer
from torch import nn

import selfprompt as sp
from conftest import METHODS, TINY, make_backbone
from selfprompt.analysis import analyse
from selfprompt.backbones.base import UNEDITED
from selfprompt.data.datasets import Examples, Splits
from selfprompt.serving.export import export

FIELDS = {"pc": {"keep": 0.5}, "spt": {"keep": 0.5}, "e2vpt": {"prune_tokens": 0.5}}


def portrait(module: nn.Module, images: torch.Tensor) -> dict[str, Any]:
    """All of a module that others could change."""
    weights = {name: value.clone() for name, value in module.state_dict().items()}
    modules = {name: (type(m), m.training) for name, m in module.named_modules()}
    flags = {name: (p.requires_grad, p.data_ptr(), p.grad) for name, p in module.named_parameters()}
    with torch.no_grad():
        vit = isinstance(module, VisionTransformer)
        answer = module(images) if vit else module.readout(module.run(images, UNEDITED))  # type: ignore[operator]
    return {"weights": weights, "modules": modules, "flags": flags, "answer": answer}


def same(one: dict[str, Any], two: dict[str, Any]) -> bool:
    weights = one["weights"].keys() == two["weights"].keys() and all(
        torch.equal(value, two["weights"][name]) for name, value in one["weights"].items()
    )
    return (
        weights
        and one["modules"] == two["modules"]
        and one["flags"] == two["flags"]
        and torch.equal(one["answer"], two["answer"])
    )


def callers_module() -> VisionTransformer:
    """A module in training with a classifier, of which a part is frozen."""
    torch.manual_seed(0)
    vit = VisionTransformer(**{**TINY, "num_classes": 5}).train()
    vit.blocks[0].requires_grad_(False)
    return vit


@pytest.mark.parametrize("source", ["module", "backbone"])
@pytest.mark.parametrize("method", METHODS)
def test_the_callers_backbone_stays_as_it_is(method: str, source: str, images: torch.Tensor, tmp_path: Path) -> None:
    backbone = callers_module() if source == "module" else make_backbone()
    before = portrait(backbone, images)
    prompted = "num_prompts" in sp.describe(method).factory.model_fields
    fields = FIELDS.get(method, {}) | ({"num_prompts": 4} if prompted else {})

    pixels = torch.randint(0, 256, (12, 32, 32, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    examples = Examples(list(pixels.numpy()), np.arange(12) % 3)
    for precision in ("float32", "bf16"):
        model = sp.create_model(backbone, method, num_classes=3, **fields)
        assert same(portrait(backbone, images), before)
        recipe = sp.Recipe(epochs=2, batch_size=4, lr=1e-2, precision=precision)
        sp.fit(model, examples, examples, recipe=recipe, output_dir=tmp_path / precision)
        assert same(portrait(backbone, images), before)
        if prompted:
            analyse(model, Splits(examples, examples, examples, {}), run=tmp_path / precision)
            with model.insertion.folded(model.backbone):
                model(images)
    loaded = sp.load(tmp_path / "float32", backbone)
    assert same(portrait(backbone, images), before)

    pool = sp.AdapterPool(backbone)
    good = sp.create_model(backbone, "vpt", num_classes=2, num_prompts=4)
    good.initialize()
    pool.add("good", good)
    served, answers = portrait(pool.backbone, images), pool(images, ["good"] * 4)
    for adapter in (tmp_path / "float32", loaded):
        try:
            pool.add("more", adapter)
            pool.remove("more")
        except sp.UserError:
            assert pool.names == ["good"]
    assert same(portrait(pool.backbone, images), served)
    assert all(map(torch.equal, pool(images, ["good"] * 4), answers))
    assert same(portrait(backbone, images), before)
    assert pool.backbone.fingerprint() == loaded.backbone_hash


@pytest.mark.parametrize("method", ["spt", "linear", "apt"])
def test_the_copy_takes_no_memory(method: str) -> None:
    backbone = make_backbone()
    model = sp.create_model(backbone, method, num_classes=3)
    shared = [p.data_ptr() for p in backbone.parameters()]
    assert [p.data_ptr() for p in model.backbone.parameters()] == shared


def test_export_leaves_it_too(images: torch.Tensor, tmp_path: Path) -> None:
    backbone = make_backbone()
    before = portrait(backbone, images)
    model = sp.create_model(backbone, "vpt", num_classes=3, num_prompts=4)
    model.initialize()
    export(model, tmp_path / "model.pt2")
    assert same(portrait(backbone, images), before)
