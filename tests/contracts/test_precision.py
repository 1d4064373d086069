"""Whatever precision the frozen weights are held in, everything works, and what is exact stays so to the bit."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState

import selfprompt as sp
from conftest import KINDS, METHODS, PROMPTED, make_backbone
from selfprompt.analysis import attention, leave_one_out, mutual_information, nearest_patches, relevance, saliency
from selfprompt.analysis.effective import effective_prompts
from selfprompt.backbones import fingerprints
from selfprompt.backbones.load import load_backbone
from selfprompt.prompts.insertion.prompted import KeyedInsertion, PromptInsertion
from selfprompt.runs.config import RunConfig
from selfprompt.runs.tune import tune
from selfprompt.serving.export import export
from selfprompt.tuning import engine
from selfprompt.tuning.engine import Engine

IN_BF16 = torch.autocast("cpu", torch.bfloat16)
LABELS = torch.tensor([0, 1, 2, 0])


def started(method: str, kind: str = "class token", **fields: Any) -> sp.PromptedModel:
    if method == "lora":
        pytest.importorskip("peft")
    model = sp.create_model(make_backbone(kind), method, num_classes=3, **fields)
    model.initialize([torch.randn(6, 3, 32, 32, generator=torch.Generator().manual_seed(2))])
    return model


def step(model: sp.PromptedModel, images: torch.Tensor) -> list[torch.Tensor]:
    """Logits, and the gradients of all that is trained, as a loop under autocast gets them."""
    with IN_BF16:
        logits = model.train()(images)
    trained = [p for p in model.parameters() if p.requires_grad]
    return [logits, *torch.autograd.grad(F.cross_entropy(logits.float(), LABELS), trained, allow_unused=True)]


def equal(ours: list[torch.Tensor], theirs: list[torch.Tensor]) -> bool:
    return all((a is None and b is None) or torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", METHODS)
def test_frozen_matrices_cast_once_change_no_bit(method: str, kind: str, images: torch.Tensor) -> None:
    model = started(method, kind)
    expected, own = step(model, images), model.backbone
    hashed = own.fingerprint()
    with model.cast_frozen(torch.bfloat16):
        assert (model.backbone is own) == (method == "full")  # where all is trained, nothing is cast
        assert equal(step(model, images), expected)
        assert model.backbone.fingerprint() == hashed
    assert model.backbone is own
    assert {p.dtype for p in own.parameters()} == {torch.float32}
    assert equal(step(model, images), expected)
    assert own.fingerprint() == hashed


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", PROMPTED)
def test_a_cast_backbone_computes_alike_inside_autocast_and_outside(
    method: str, kind: str, images: torch.Tensor
) -> None:
    model, same = started(method, kind).eval(), started(method, kind).eval()
    insertion = model.insertion
    assert isinstance(insertion, PromptInsertion)
    with torch.no_grad(), IN_BF16:
        expected = model(images).float()
        same.initialize([images])
    with torch.no_grad(), model.cast_frozen(torch.bfloat16):
        assert torch.allclose(model(images), expected, atol=0.1, rtol=0.1)
        with insertion.folded(model.backbone):
            assert torch.allclose(model(images), expected, atol=0.1, rtol=0.1)
        model.initialize([images])
    assert model.prompts is not None
    assert same.prompts is not None
    assert model.prompts.dtype == torch.float32
    assert torch.equal(model.prompts, same.prompts)


@pytest.mark.parametrize("kind", ["class token", "no class token", "attention pooling"])
@pytest.mark.parametrize("method", METHODS)
@torch.no_grad()
def test_bf16_is_near_float32_by_every_way_to_it(method: str, kind: str, images: torch.Tensor) -> None:
    model = started(method, kind).eval()
    exact = model(images)
    with IN_BF16:
        answers = [model(images)]
    with model.cast_frozen(torch.bfloat16):
        answers.append(model(images))
        with IN_BF16:
            answers.append(model(images))
    assert torch.equal(model(images), exact)
    answers.append(model.to(torch.bfloat16)(images))
    for answer in answers:
        assert (answer.float() - exact).norm() < 0.05 * exact.norm()


@pytest.mark.parametrize("size", [32, 64])
def test_a_cast_backbone_answers_to_both_hashes_of_what_it_was_cast_from(size: int) -> None:
    own = load_backbone(make_backbone(), size)
    half = own.cast(torch.bfloat16)
    for known in (own.fingerprint(), fingerprints.digest(own)):
        assert own.answers_to(known)
        assert half.answers_to(known)
    assert not half.answers_to(fingerprints.digest(half))


@contextmanager
def held(model: sp.PromptedModel, cast: bool, autocast: bool) -> Iterator[None]:
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        if cast:
            with model.cast_frozen(torch.bfloat16):
                yield
        else:
            yield


@pytest.mark.parametrize("cast", [False, True])
@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize("method", [name for name in PROMPTED if name not in ("gatevpt", "apt")])
def test_folded_prompts_answer_as_unfolded_ones_in_whatever_precision(
    method: str, autocast: bool, cast: bool, images: torch.Tensor
) -> None:
    """Keys that were folded in bf16 are gone in float32."""
    model = started(method).eval()
    assert isinstance(model.insertion, KeyedInsertion)
    with torch.no_grad():
        in_float32 = model(images)
        with held(model, cast, autocast):
            unfolded = model(images)
            with model.insertion.folded(model.backbone):
                assert torch.equal(model(images), unfolded)
        assert torch.equal(model(images), in_float32)


@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize("method", PROMPTED)
def test_analysis_and_condensation_of_a_cast_backbone(method: str, autocast: bool, images: torch.Tensor) -> None:
    def scores(model: sp.PromptedModel) -> torch.Tensor:
        return saliency(model, [(images, LABELS)])

    model = started(method).eval()
    assert isinstance(model.insertion, PromptInsertion)
    exact, rest = scores(model), relevance(model, images)
    with held(model, True, autocast):
        assert torch.allclose(scores(model), exact, rtol=0.2, atol=0.1 * float(exact.abs().max()))
        assert torch.allclose(relevance(model, images), rest, rtol=0.2, atol=0.05)
        assert all(w.isfinite().all() for w in attention(model, images).to_prompts)
        with torch.no_grad():
            content = model.backbone.content(images)
            information = mutual_information(effective_prompts(model)[0], content)
            assert information.dtype == torch.float32
            assert information.isfinite().all()
        assert all(n.similarity.dtype == torch.float32 for n in nearest_patches(model, [images]))
        assert leave_one_out(model, images, LABELS).isfinite().all()
        kept = torch.rand(*model.insertion.prompts.shape[:2], generator=torch.Generator().manual_seed(0)) > 0.5
        model.insertion.condense(kept)
        assert model(images).isfinite().all()
    assert model(images).dtype == torch.float32


@pytest.mark.parametrize("method", METHODS)
def test_an_adapter_saved_while_matrices_are_cast_is_the_same(method: str, tmp_path: Path) -> None:
    model = started(method)
    model.save_pretrained(tmp_path / "outside")
    with model.cast_frozen(torch.bfloat16):
        model.save_pretrained(tmp_path / "inside")
        again = sp.create_model(model.backbone, "vpt", num_classes=3)
    assert {p.dtype for p in again.parameters()} == {torch.float32}
    if method != "lora" and not any(p.requires_grad for p in model.backbone.parameters()):
        assert again.backbone_hash == model.backbone_hash
        sp.load(tmp_path / "inside", make_backbone())
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        assert (tmp_path / "inside" / name).read_bytes() == (tmp_path / "outside" / name).read_bytes()


def test_casts_go_back_and_are_made_of_the_original() -> None:
    own = make_backbone()
    half = own.cast(torch.bfloat16)
    assert half.cast(torch.bfloat16) is half
    assert half.cast(torch.float32) is own
    assert own.cast(torch.float32) is own
    precise = half.cast(torch.float16)
    assert torch.equal(precise.vit.blocks[0].attn.qkv.weight, own.vit.blocks[0].attn.qkv.weight.half())
    assert half.vit.norm.weight is own.vit.norm.weight
    assert len(list(half.parameters())) == len(list(own.parameters()))
    again = copy.deepcopy(half)
    assert again.cast(torch.float32) is own
    assert again.fingerprint() == own.fingerprint()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("added_under_autocast", [False, True])
def test_a_pool_serves_in_float32_and_in_bf16(kind: str, added_under_autocast: bool, images: torch.Tensor) -> None:
    models = {name: started(name, kind).eval() for name in ("vpt", "e2vpt", "vfpt")}
    tasks = ["vpt", "e2vpt", "vfpt", "vpt"]
    exact, half = sp.AdapterPool(make_backbone(kind)), sp.AdapterPool(make_backbone(kind).cast(torch.bfloat16))
    for name, model in models.items():
        with torch.autocast("cpu", torch.bfloat16, enabled=added_under_autocast and name != "e2vpt"):
            exact.add(name, model)
            half.add(name, model)
    expected = [models[task](image[None])[0] for image, task in zip(images, tasks)]
    for answer, alone in zip(exact(images, tasks), expected):
        assert torch.allclose(answer, alone, atol=1e-5)  # added under autocast or not
    with IN_BF16:
        near = [exact(images, tasks), half(images, tasks)]
    for found in (*near, half(images, tasks)):
        assert all(torch.allclose(a.float(), b, atol=0.15, rtol=0.1) for a, b in zip(found, expected))


@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize("method", ["vpt", "e2vpt", "linear"])
def test_a_program_is_of_the_models_own_weights(method: str, autocast: bool, tmp_path: Path) -> None:
    model = started(method).eval()
    pixels = torch.randint(0, 256, (5, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    expected = model(pixels)
    with held(model, True, autocast):
        export(model, tmp_path / "model.pt2")
    program = torch.export.load(tmp_path / "model.pt2").module()
    assert torch.allclose(program(pixels), expected, atol=1e-5)


def test_half_precision_on_a_cpu_takes_plain_attention_wherever_the_loop_is(
    images: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, calls = started("vpt"), []
    fused: Callable[..., torch.Tensor] = F.scaled_dot_product_attention
    monkeypatch.setattr(F, "scaled_dot_product_attention", lambda *a, **k: calls.append(1) or fused(*a, **k))
    model(images)
    assert len(calls) == 3
    with IN_BF16:
        model(images)
    with model.cast_frozen(torch.bfloat16):
        model(images)
    assert len(calls) == 3
    Engine("bf16").place(model)
    model(images)
    assert len(calls) == 6  # an engine leaves no switch behind


def pairs(count: int = 8) -> list[tuple[np.ndarray, int]]:
    rng = np.random.default_rng(0)
    return [(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8), index % 2) for index in range(count)]


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("method", METHODS)
def test_every_method_is_fitted_in_bf16_and_left_in_float32(
    method: str, checkpointing: bool, images: torch.Tensor, tmp_path: Path
) -> None:
    model = started(method)
    model.initialized = False
    recipe = sp.Recipe(epochs=2, batch_size=4, lr=1e-2, precision="bf16", checkpointing=checkpointing)
    result = sp.fit(model, pairs(), pairs(), recipe=recipe, output_dir=tmp_path)
    assert all(np.isfinite(row["train_loss"]) for row in result.history)
    assert "forward" not in vars(model)
    after = model.eval()(images)
    assert after.dtype == torch.float32
    again = sp.load(tmp_path, make_backbone())
    assert torch.allclose(again(images), after, atol=1e-5)


def test_an_accelerator_of_the_callers_survives() -> None:
    AcceleratorState._reset_state()
    GradientState._reset_state()
    theirs = Accelerator(mixed_precision="bf16", gradient_accumulation_steps=4)
    for precision in ("float32", "bf16"):
        recipe = sp.Recipe(epochs=2, batch_size=4, lr=1e-2, precision=precision)  # type: ignore[arg-type]
        result = sp.fit(started("vpt"), pairs(), pairs(), recipe=recipe)
        assert result.metrics["precision"] == precision
    assert theirs.gradient_accumulation_steps == 4
    assert theirs.mixed_precision == Accelerator().mixed_precision == "bf16"
    assert theirs.device == AcceleratorState().device
    AcceleratorState._reset_state()
    GradientState._reset_state()


@pytest.mark.parametrize("method", ["spt", "pc", "e2vpt", "lora"])
def test_a_run_in_bf16_from_folder_to_answers(
    method: str, folder: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Start, training, condensation, rewinding, test, probe, evaluation and prediction, as with hardware for bf16."""
    monkeypatch.setattr(engine, "fast_bf16", lambda: True)
    recipe = {"epochs": 2, "batch_size": 4, "lr": 1e-2}
    fields = {"num_prompts": 4}
    if method == "lora":
        pytest.importorskip("peft")
        fields = {}
    config = RunConfig.resolve(str(folder), str(weights), method, fields=fields, recipe=recipe)
    metrics = tune(config, tmp_path / "run").metrics
    assert metrics["precision"] == "bf16"
    assert sp.evaluate(tmp_path / "run", str(folder))["test_accuracy"] == pytest.approx(metrics["test_accuracy"])
    (found,) = sp.predict(tmp_path / "run", [folder / "ant" / "0.png"])
    assert 0 < found["probability"] <= 1
