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


@pytest.mark.parametrize("readout", ["backbone", "mae_average", "fresh_average"])
@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_mixed_batches_equal_each_adapter_alone(kind: str, fused: bool, readout: str, images: torch.Tensor) -> None:
    models = {
        "plain": adapter(kind, 0, readout=readout),
        "more prompts": adapter(kind, 1, "spt", num_prompts=7, readout=readout),
        "batch norm": adapter(kind, 2, "e2vpt", head_norm="batch", readout=readout),
        "fourier": adapter(kind, 3, "vfpt", readout=readout),
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


def test_the_pool_keeps_what_was_added_and_leaves_it_as_it_is(images: torch.Tensor) -> None:
    model = adapter("class token", 0, head_norm="batch").train()
    pool = sp.AdapterPool(make_backbone())
    pool.add("one", model)
    assert model.training
    assert model.insertion.training
    assert torch.allclose(pool(images, ["one"] * 4)[0], model.eval()(images)[0], atol=1e-5)
    expected = torch.stack(pool(images, ["one"] * 4))
    bank = pool.bank
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.zero_()
    pool.add("two", adapter("class token", 1))
    assert torch.allclose(torch.stack(pool(images, ["one"] * 4)), expected, atol=1e-6)
    assert list(bank.members) == ["one"]  # who still answers with the old bank sees nothing of it


def test_an_adapter_is_refused_before_anything_is_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    adapter("class token", 0, "gatevpt").save_pretrained(tmp_path / "gates")
    adapter("registers", 0).save_pretrained(tmp_path / "other")
    pool = sp.AdapterPool(make_backbone())
    monkeypatch.setattr("selfprompt.pool.load", lambda *_: pytest.fail("it was built"))
    with pytest.raises(sp.UserError, match="gatevpt adapter that a pool cannot serve"):
        pool.add("gates", tmp_path / "gates")
    with pytest.raises(sp.UserError, match="another backbone than the pool's"):
        pool.add("other", tmp_path / "other")


def test_what_cannot_be_served_is_refused(images: torch.Tensor) -> None:
    pool = sp.AdapterPool(make_backbone())
    pool.add("one", adapter("class token", 0))
    with pytest.raises(sp.UserError, match="'one' already"):
        pool.add("one", adapter("class token", 0))
    with pytest.raises(sp.UserError, match="gatevpt adapter that a pool cannot serve"):
        pool.add("gates", adapter("class token", 0, "gatevpt"))
    with pytest.raises(sp.UserError, match="another backbone than the pool's"):
        pool.add("other", adapter("registers", 0))
    with pytest.raises(sp.UserError, match="reads mae_average, and 'one' backbone: use a second pool"):
        pool.add("other", adapter("class token", 0, readout="mae_average"))
    for field, other in (("mean", (0.5, 0.5, 0.5)), ("resize", "squash"), ("interpolation", "bilinear")):
        seen_otherwise = adapter("class token", 0)
        seen_otherwise.protocol = seen_otherwise.protocol.model_copy(update={field: other})
        with pytest.raises(sp.UserError, match=f"images with {field} .* 'one' with"):
            pool.add("other", seen_otherwise)
    resized = adapter("class token", 0)
    resized.protocol = resized.protocol.model_copy(update={"image_size": 64})
    with pytest.raises(sp.UserError, match=r"images of 64 pixels .* make the pool with image_size=64"):
        pool.add("other", resized)
    assert pool.names == ["one"]
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
