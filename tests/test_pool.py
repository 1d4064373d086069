"""Many adapters in one batch answer as each would alone."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import selfprompt as sp
from conftest import KINDS, make_backbone


def adapter(kind: str, seed: int, method: str = "vpt", **fields: object) -> sp.PromptedModel:
    fields = {"num_prompts": 4, **fields}
    model = sp.create_model(make_backbone(kind), method, num_classes=2 + seed, seed=seed, **fields)
    model.initialize([torch.randn(6, 3, 32, 32, generator=torch.Generator().manual_seed(2))], seed=seed)
    if fields.get("head_norm") == "batch":
        model.train()(torch.randn(8, 3, 32, 32))
    return model.eval()


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_mixed_batches_equal_each_adapter_alone(kind: str, fused: bool, images: torch.Tensor) -> None:
    models = {
        "plain": adapter(kind, 0),
        "more prompts": adapter(kind, 1, "spt", num_prompts=7),
        "batch norm": adapter(kind, 2, "e2vpt", head_norm="batch"),
        "fourier": adapter(kind, 3, "vfpt"),
    }
    pool = sp.AdapterPool(make_backbone(kind))
    pool.backbone.fused_attention = fused
    for name, model in models.items():
        pool.add(name, model)
    tasks = ["fourier", "plain", "batch norm", "more prompts"]
    for image, task, logits in zip(images, tasks, pool(images, tasks)):
        assert torch.allclose(logits, models[task](image[None])[0], atol=1e-5)
    pool.remove("more prompts")
    assert pool.names == ["plain", "batch norm", "fourier"]
    (logits,) = pool(images[:1], ["batch norm"])
    assert torch.allclose(logits, models["batch norm"](images[:1])[0], atol=1e-5)


def test_adapters_come_from_disk_and_answer_by_name(tmp_path: Path, images: torch.Tensor) -> None:
    model = adapter("class token", 1)
    model.class_names = ["ant", "bee", "cow"]
    model.insertion.condense(torch.rand(3, 4, generator=torch.Generator().manual_seed(0)) > 0.5)
    model.save_pretrained(tmp_path)
    pool = sp.AdapterPool(make_backbone())
    pool.add("insects", tmp_path)
    found = pool.predict(images, ["insects"] * 4)
    expected = model(images).softmax(-1).max(-1)
    assert [label for label, _ in found] == [model.class_names[i] for i in expected.indices]
    assert [p for _, p in found] == pytest.approx(expected.values.tolist(), abs=1e-5)


def test_what_cannot_be_served_is_refused(images: torch.Tensor) -> None:
    pool = sp.AdapterPool(make_backbone())
    pool.add("one", adapter("class token", 0))
    with pytest.raises(sp.UserError, match="'one' already"):
        pool.add("one", adapter("class token", 0))
    with pytest.raises(sp.UserError, match="gatevpt adapter that a pool cannot serve"):
        pool.add("gates", adapter("class token", 0, "gatevpt"))
    with pytest.raises(sp.UserError, match="another backbone or normalisation than 'one'"):
        pool.add("other", adapter("registers", 0))
    with pytest.raises(sp.UserError, match="did you mean one"):
        pool(images[:1], ["onw"])
    with pytest.raises(sp.UserError, match="4 images and 1 task names"):
        pool(images, ["one"])


def test_one_name_is_every_sample_s(images: torch.Tensor) -> None:
    pool = sp.AdapterPool(make_backbone())
    pool.add("birds", adapter("class token", 0))
    several = pool(images, ["birds"] * len(images))
    assert all(torch.equal(a, b) for a, b in zip(pool(images, "birds"), several, strict=True))
    assert len(pool.predict(images, "birds")) == len(images)
