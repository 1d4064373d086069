"""Many adapters in one batch answer as each would alone."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

import selfprompt as sp
from conftest import KINDS, make_backbone
from selfprompt.adapters.format import FILES, WEIGHTS_NAME
from selfprompt.errors import UserError
from selfprompt.serving import pool as pool_module
from tiny_clip import started, tiny_clip
from tiny_models import known


def adapter(kind: str, seed: int, method: str = "vpt", **fields: Any) -> sp.PromptedModel:
    fields = {name: value for name, value in {"num_prompts": 4, **fields}.items() if value is not None}
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
    monkeypatch.setattr("selfprompt.serving.pool.rebuilt", lambda *_: pytest.fail("it was built"))
    with pytest.raises(sp.UserError, match="gatevpt adapter that a pool cannot serve"):
        pool.add("gates", tmp_path / "gates")
    with pytest.raises(sp.UserError, match="another backbone than the pool's"):
        pool.add("other", tmp_path / "other")


def test_an_adapter_that_is_saved_anew_meanwhile_is_whole_or_refused(
    tmp_path: Path, images: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = adapter("class token", 0), adapter("class token", 0)
    with torch.no_grad():
        new.head.linear.weight.normal_()
    new.class_names = ["other", "names"]
    for name, model in {"served": old, "old": old, "new": new}.items():
        model.save_pretrained(tmp_path / name)
    pool = sp.AdapterPool(make_backbone())
    pool.add("one", tmp_path / "served")
    before, build = torch.stack(pool(images, "one")), pool_module.rebuilt

    def saving(*args: Any) -> Any:
        """Build, while another process saves; of its two files the second comes last."""
        new.save_pretrained(tmp_path / "served")
        return build(*args)

    monkeypatch.setattr(pool_module, "rebuilt", saving)
    shutil.copy(tmp_path / "new" / WEIGHTS_NAME, tmp_path / "served" / WEIGHTS_NAME)
    with pytest.raises(sp.UserError, match="was being saved: load it again"):
        pool.add("one", tmp_path / "served", replace=True)
    assert torch.equal(torch.stack(pool(images, "one")), before)
    pool.add("one", tmp_path / "served", replace=True)
    files = [(tmp_path / "served" / file).read_bytes() for file in FILES]
    assert pool.bank.members["one"].version == hashlib.sha256(b"".join(files)).hexdigest()
    assert torch.allclose(torch.stack(pool(images, "one")), new(images), atol=1e-5)


def test_one_adapter_takes_the_place_of_another_in_one_step(images: torch.Tensor) -> None:
    old, new = adapter("class token", 0), adapter("class token", 1, readout="mae_average")
    pool = sp.AdapterPool(make_backbone())
    pool.add("one", old)
    before = pool.bank
    pool.add("one", new, replace=True)  # alone, it need not agree with the one that goes
    assert torch.allclose(torch.stack(pool(images, "one")), new(images), atol=1e-5)
    assert torch.allclose(torch.stack(pool(images, "one", before)), old(images), atol=1e-5)
    with pytest.raises(sp.UserError, match="another backbone"):
        pool.add("one", adapter("registers", 0), replace=True)
    probabilities = torch.stack(pool.probabilities(images, "one"))
    assert torch.allclose(probabilities, new(images).softmax(-1), atol=1e-5)
    assert torch.allclose(pool.features(images, "one"), new.features(images), atol=1e-5)
    frozen = sp.create_model(make_backbone(), "linear", num_classes=2)
    assert torch.allclose(pool.features(images, None), frozen.features(images), atol=1e-5)


def test_the_backbone_is_hashed_and_copied_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    adapter("class token", 0).save_pretrained(tmp_path)
    pool = sp.AdapterPool(make_backbone())
    monkeypatch.setattr("selfprompt.backbones.fingerprints.marks", lambda _: pytest.fail("it was read again"))
    monkeypatch.setattr("selfprompt.backbones.base.private_copy", lambda _: pytest.fail("it was copied again"))
    for name in ("one", "two"):
        pool.add(name, tmp_path)


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
    others = {"mean": (0.5,) * 3, "resize": "squash", "interpolation": "bilinear", "value_range": (0.0, 4095.0)}
    for field, other in others.items():
        seen_otherwise = adapter("class token", 0)
        seen_otherwise.protocol = seen_otherwise.protocol.model_copy(update={field: other})
        with pytest.raises(sp.UserError, match=f"images with {field.replace('_', ' ')} .* 'one' with"):
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


IMAGES = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
PIXELS = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)


@pytest.mark.parametrize(
    ("images", "why"),
    [
        (None, "The images are NoneType: give a tensor"),
        ((image for image in IMAGES), "The images are generator: give a tensor"),
        (IMAGES.numpy(), "The images are ndarray: give a tensor"),
        (PIXELS.long(), r"The images are torch\.int64"),
        (PIXELS[0], r"have the shape \(3, 32, 32\): .* takes \(B, 3, 32, 32\)"),
        (PIXELS[:, :1], r"have the shape \(2, 1, 32, 32\)"),
        (IMAGES[:, :1], r"have the shape \(2, 1, 32, 32\)"),
        (PIXELS.movedim(1, -1), r"have the shape \(2, 32, 32, 3\)"),
        (IMAGES[..., :16], r"have the shape \(2, 3, 32, 16\)"),
    ],
)
def test_what_is_no_batch_of_images_is_refused(images: object, why: str) -> None:
    model = adapter("class token", 0)
    pool = sp.AdapterPool(make_backbone())
    pool.add("one", model)
    for answer in (lambda: pool(images, "one"), lambda: pool.predict(images, "one"), lambda: model(images)):
        with pytest.raises(sp.UserError, match=why):
            answer()
    with pytest.raises(sp.UserError, match=why):
        adapter("class token", 0, "spt").initialize([images])


@pytest.mark.parametrize("kind", ["class token", "no class token"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
@torch.no_grad()
def test_models_pools_and_images_of_another_type_answer_alike(kind: str, dtype: torch.dtype) -> None:
    model = adapter(kind, 0)
    expected = model(IMAGES)
    assert torch.allclose(model(IMAGES.to(dtype)), expected, atol=0.05)
    model.to(dtype)
    assert torch.allclose(model(IMAGES).float(), expected, atol=0.2)
    assert model(PIXELS).isfinite().all()
    pool = sp.AdapterPool(make_backbone(kind))
    pool.add("one", model)
    assert torch.allclose(torch.stack(pool(IMAGES.to(dtype), "one")), expected, atol=0.1)
    pool.to(dtype)
    pool.add("two", model)
    assert torch.allclose(torch.stack(pool(IMAGES, ["one", "two"])).float(), expected, atol=0.2)


def test_names_and_adapters_that_are_none() -> None:
    pool = sp.AdapterPool(make_backbone())
    with pytest.raises(sp.UserError, match="The pool has no adapter yet"):
        pool(IMAGES, "one")
    for name in (None, 3, ["one"]):
        with pytest.raises(sp.UserError, match=r"The adapter's name is .*: give text"):
            pool.add(name, adapter("class token", 0))  # type: ignore[arg-type]
    for given in (None, [], torch.nn.Linear(2, 2)):
        for take in (lambda given=given: pool.add("one", given), lambda given=given: sp.load(given)):  # type: ignore[arg-type]
            with pytest.raises(sp.UserError, match=r"The adapter is .*: give its folder"):
                take()
    pool.add("one", adapter("class token", 0))
    for tasks in (None, 1, [None, "one"], iter(["one", "one"])):
        with pytest.raises(sp.UserError, match=r"The tasks are .*: give an adapter's name"):
            pool(IMAGES, tasks)  # type: ignore[arg-type]
    assert pool(IMAGES[:0], []) == pool(IMAGES[:0], "one") == pool.predict(IMAGES[:0], "one") == []


def test_heads_alone_and_prompts_share_a_pool(images: torch.Tensor) -> None:
    models = {"probe": adapter("class token", 0, "linear", num_prompts=None), "prompts": adapter("class token", 1)}
    for order in (["probe"], ["probe", "prompts"]):
        pool = sp.AdapterPool(make_backbone())
        for name in order:
            pool.add(name, models[name])
        tasks = [order[i % len(order)] for i in range(len(images))]
        for image, task, logits in zip(images, tasks, pool(images, tasks)):
            assert torch.allclose(logits, models[task](image[None])[0], atol=1e-5)
    with pytest.raises(UserError, match="which a pool shares"):
        pool.add("whole", adapter("class token", 0, "full", num_prompts=None))


def test_adapters_of_an_image_text_model_bring_their_classes_texts(tmp_path: Path, images: torch.Tensor) -> None:
    models = {"names": started("zeroshot"), "context": started("coop", seed=1), "images": started("vpt")}
    pool = sp.AdapterPool(tiny_clip())
    for name, model in models.items():
        model.save_pretrained(tmp_path / name)
        pool.add(name, tmp_path / name)
    tasks = ["images", "context", "names", "context"]
    for image, task, logits in zip(images, tasks, pool(images, tasks)):
        assert torch.allclose(logits, models[task](image[None])[0], atol=1e-5)
    assert pool.predict(images, "names")[0][0] in models["names"].class_names
    with pytest.raises(UserError, match="differ with the image"):
        pool.add("conditional", started("cocoop"))


TEXTS = ["w1 good w2", "w3", "bad w4 w5 w6 w7", "w8 w9", "good good", "w1"]


def text_adapter(backbone: Any, method: str, seed: int, **fields: Any) -> sp.PromptedModel:
    model = sp.create_model(backbone, method, class_names=["good", "bad", "w1"][: 2 + seed % 2], seed=seed, **fields)
    view = model.protocol.view()
    model.initialize([view.collate([view.read((text,)) for text in ("w1 good", "w2 w3 bad")], 2)], seed=seed)
    with torch.no_grad():
        for parameter in (p for p in model.parameters() if p.requires_grad):
            parameter += 0.5 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(seed))
    return model.eval()


@pytest.mark.parametrize("family", ["BertForMaskedLM", "LlamaForCausalLM", "T5ForConditionalGeneration"])
@pytest.mark.parametrize("answers", ["words", "linear"])
@torch.no_grad()
def test_texts_of_several_tasks_are_answered_in_one_batch(family: str, answers: str) -> None:
    backbone = known(family)[1]
    mask = "{mask}" if answers == "words" else ""
    own = {"answers": answers}
    models = {
        "before": text_adapter(backbone, "prompt-tuning", 0, template=f"{{soft:3}} {{text}} {mask}", **own),
        "around": text_adapter(
            backbone, "prompt-tuning", 1, template=f"{{soft:2}} {{text}} {{soft:3}} {mask}", **own
        ),
    }
    if answers == "linear":
        models["deep"] = text_adapter(backbone, "vpt", 2, num_prompts=5)
        models["head"] = text_adapter(backbone, "linear", 3)
    pool = sp.AdapterPool(backbone)
    for name, model in models.items():
        pool.add(name, model)
    tasks = [list(models)[i % len(models)] for i in range(len(TEXTS))]
    for text, task, logits in zip(TEXTS, tasks, pool(TEXTS, tasks)):
        model = models[task]
        view = model.protocol.view()
        expected = model(view.collate([view.read(view.accept(text))], 1))[0]
        assert torch.allclose(logits, expected, atol=1e-4)
    found = pool.predict(TEXTS, tasks)
    assert all(label in (models[task].class_names or ()) for (label, _), task in zip(found, tasks))


def test_what_is_no_text_or_reads_its_text_is_refused() -> None:
    backbone = known("BertForMaskedLM")[1]
    pool = sp.AdapterPool(backbone)
    pool.add("one", text_adapter(backbone, "vpt", 0, num_prompts=2))
    for wrong in ("w1 good", torch.zeros(1, 3, 32, 32), [5]):
        with pytest.raises(UserError, match="text"):
            pool(wrong, "one")
    with pytest.raises(UserError, match="ipt adapter that a pool cannot serve"):
        pool.add("two", text_adapter(backbone, "ipt", 1, num_prompts=2))
    words = text_adapter(backbone, "prompt-tuning", 2, num_prompts=2)
    with pytest.raises(UserError, match="reads words"):
        pool.add("three", words)


@pytest.mark.parametrize("method", ["prompt-tuning", "prefix", "linear"])
def test_adapters_of_texts_and_of_images_are_refused_by_the_others_pools(method: str, tmp_path: Path) -> None:
    backbone = known("BertForMaskedLM")[1]
    fields = {} if method == "linear" else {"num_prompts": 2}
    text, image = text_adapter(backbone, method, 0, **fields), adapter("class token", 0)
    for name, model, pool in (
        ("text", text, sp.AdapterPool(make_backbone())),
        ("image", image, sp.AdapterPool(backbone)),
    ):
        model.save_pretrained(tmp_path / name)
        for given in (model, tmp_path / name):
            with pytest.raises(UserError, match=f"takes {name}s, and the pool's backbone"):
                pool.add("other", given)
