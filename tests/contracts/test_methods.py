"""What holds for every method of the registry on every tiny backbone."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any, get_args

import pytest
import torch

import selfprompt as sp
from conftest import KINDS, METHODS, PROMPTED, make_backbone
from selfprompt import backbones, methods
from selfprompt.assembly import create_model, load
from selfprompt.data import sources
from selfprompt.data.datasets import Examples
from selfprompt.methods.recipe import Recipe
from selfprompt.model import PromptedModel
from selfprompt.prompts.initialization import Kind
from selfprompt.serving.pool import AdapterPool
from selfprompt.tuning.fit import fit


def having(field: str) -> list[str]:
    return [name for name in METHODS if field in sp.describe(name).factory.model_fields]


LAYOUTS = [(name, {}) for name in PROMPTED] + [(name, {"shallow": True}) for name in having("shallow")]


def started(method: str, kind: str = "class token", **fields: Any) -> PromptedModel:
    if method in PROMPTED:
        fields = {"num_prompts": 4, **fields}
    model = create_model(make_backbone(kind), method, num_classes=3, **fields)
    model.initialize([torch.randn(6, 3, 32, 32, generator=torch.Generator().manual_seed(2))])
    return model.eval()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", METHODS)
def test_batches_equal_single_images(method: str, kind: str, images: torch.Tensor) -> None:
    model = started(method, kind)
    singles = torch.cat([model(image[None]) for image in images])
    assert torch.allclose(model(images), singles, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", METHODS)
def test_save_and_load_give_the_same_outputs(method: str, kind: str, images: torch.Tensor, tmp_path: Path) -> None:
    model = started(method, kind)
    expected = model(images)
    model.save_pretrained(tmp_path)
    back = load(tmp_path, backbone=make_backbone(kind))
    assert torch.equal(back(images), expected)
    size = sum(v.numel() * v.element_size() for v in model.adapter_state().values())
    assert (tmp_path / "adapter_model.safetensors").stat().st_size < size + 8192


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", PROMPTED)
def test_folded_for_inference_it_answers_the_same(method: str, kind: str, images: torch.Tensor) -> None:
    model = started(method, kind)
    expected = model(images).detach()
    with torch.no_grad(), model.insertion.folded(model.backbone):
        assert torch.allclose(model(images), expected, atol=1e-6)


@pytest.mark.parametrize("what", ["prompts", "backbone", "another backbone"])
@pytest.mark.parametrize("method", PROMPTED)
@torch.no_grad()
def test_whatever_changed_by_whatever_way_shows_in_the_next_answer(
    method: str, what: str, images: torch.Tensor, tmp_path: Path
) -> None:
    """Changes that leave a tensor's identity and version as they were; the pool's bank holds prompts alone."""
    started(method).save_pretrained(tmp_path)
    model = load(tmp_path, backbone=make_backbone())
    pool = AdapterPool(model.backbone)
    pooled = method not in ("gatevpt", "apt", "cvpt")
    if pooled:
        pool.add("one", model)
        pool(images, "one")
    model(images)
    if what == "prompts":
        model.prompts.data.copy_(model.prompts.flip(-1))
    elif what == "backbone":
        vit: Any = model.backbone.vit
        for block in vit.blocks:
            block.attn.qkv.weight.data.mul_(2)
    else:
        pool.backbone = model.backbone = make_backbone(seed=1)
    fresh = copy.deepcopy(model)  # has no memory of what was
    fresh.insertion.prompts = torch.nn.Parameter(model.prompts.clone())
    expected = fresh.train().eval()(images)
    assert torch.equal(model(images), expected)
    if pooled and what != "prompts":
        assert torch.allclose(torch.stack(pool(images, "one")), expected, atol=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_compiled_it_is_one_graph(method: str, images: torch.Tensor) -> None:
    model = started(method).train()
    torch._dynamo.reset()
    compiled = torch.compile(model, fullgraph=True, backend="eager")
    assert torch.allclose(compiled(images), model(images), atol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_frozen_weights_and_buffers_never_change(method: str) -> None:
    model = started(method)
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    assert trained
    before = {k: v.clone() for k, v in model.state_dict().items()}
    pixels = torch.randint(0, 256, (12, 32, 32, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    examples = Examples(list(pixels.numpy()), torch.arange(12).remainder(3).numpy())
    fit(model, examples, examples, recipe=Recipe(epochs=3, batch_size=4, lr=1e-2))
    after = model.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == trained
    assert any(name.startswith("head.") for name in changed)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("method", "fields"), LAYOUTS)
def test_order_of_prompts_does_not_matter(method: str, fields: dict, kind: str, images: torch.Tensor) -> None:
    if method == "vfpt":
        fields = {"fourier_share": 0.0}  # a Fourier transform reads its prompts in order
    model = started(method, kind, **fields)
    expected = model(images)
    model.prompts.data = model.prompts.data.flip(1)
    assert torch.allclose(model(images), expected, atol=1e-5)


@pytest.mark.parametrize("method", PROMPTED)
def test_prompts_insertion_and_head_are_all_that_is_trained(method: str) -> None:
    model = started(method)
    head = 32 * 3 + 3
    assert model.prompts.shape[1:] == (4, 32)
    assert model.count_parameters()[0] == sum(p.numel() for p in model.insertion.parameters()) + head
    assert started(method, frozen_prompts=True).count_parameters()[0] == head


@pytest.mark.parametrize("method", having("shallow"))
def test_counts_are_vpts(method: str) -> None:
    assert started(method).count_parameters()[0] == 3 * 4 * 32 + 32 * 3 + 3
    assert started(method, shallow=True).count_parameters()[0] == 4 * 32 + 32 * 3 + 3


@pytest.mark.parametrize("kind", get_args(Kind))
@pytest.mark.parametrize("method", PROMPTED)
def test_prototypes_start_every_kind_of_prompt(method: str, kind: str) -> None:
    plain, started_there = started("spt", prototypes=kind), started(method, prototypes=kind)
    layers = len(started_there.prompts)
    assert torch.equal(started_there.prompts, plain.prompts[:layers])


@pytest.mark.parametrize("method", [m for m in METHODS if m != "linear"])
def test_eight_images_are_learnt_by_heart(method: str) -> None:
    model = started(method)
    pixels = torch.randint(0, 256, (8, 32, 32, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    examples = Examples(list(pixels.numpy()), torch.arange(8).remainder(3).numpy())
    rate = 1e-2 if method == "vfpt" else model.method.rates["mini"]
    result = fit(model, examples, examples, recipe=Recipe(epochs=100, batch_size=8, lr=rate, head_weight_decay=0))
    assert result.metrics["val_accuracy"] == 100


@pytest.mark.parametrize("kind", KINDS)
def test_without_prompts_the_frozen_backbone_answers(kind: str, images: torch.Tensor) -> None:
    backbone = make_backbone(kind)
    expected = make_backbone(kind).vit.eval()(images)
    model = create_model(backbone, "linear", num_classes=3)
    assert torch.equal(model.features(images), expected)


@pytest.mark.parametrize("shallow", [False, True])
def test_zero_prompts_are_not_neutral(shallow: bool, images: torch.Tensor) -> None:
    model = create_model(make_backbone(), "vpt", num_classes=3, num_prompts=4, shallow=shallow)
    model.prompts.data.zero_()
    assert not torch.allclose(model.features(images), make_backbone().vit.eval()(images), atol=1e-3)


def test_records_are_complete() -> None:
    for records in (methods.RECORDS, backbones.RECORDS, sources.RECORDS):
        for name, record in records.items():
            assert record.name == name
            assert record.idea.endswith(".")
            assert record.source or record.title
            assert callable(record.factory)
    for name, record in methods.RECORDS.items():
        assert record.factory.name == name
        assert record.source is not None
