"""The fit loop: what it optimises, and what it does when memory is out."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch

from conftest import KINDS, make_backbone
from selfprompt.adapters.format import write_adapter
from selfprompt.assembly import create_model, load
from selfprompt.data.batches import Decoded
from selfprompt.data.datasets import Examples
from selfprompt.errors import Diverged, UserError
from selfprompt.inputs import Batch
from selfprompt.methods.recipe import Recipe
from selfprompt.model import PromptedModel
from selfprompt.prompts.initialization import Kind
from selfprompt.tuning.engine import Engine
from selfprompt.tuning.evaluation import evaluate_network
from selfprompt.tuning.fit import fit
from selfprompt.tuning.loop import Loop
from selfprompt.tuning.optimization import MovingAverage, learning_rate, make_optimizer, set_rates
from selfprompt.tuning.passes import start_prompts


def examples(count: int = 12) -> Examples:
    pixels = np.random.default_rng(0).integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
    return Examples(list(pixels), np.arange(count) % 3)


def model(method: str = "spt", **fields: Any) -> PromptedModel:
    return create_model(
        make_backbone(), method, num_classes=3, **({} if method == "linear" else {"num_prompts": 4} | fields)
    )


def test_the_rate_rises_linearly_and_falls_along_a_cosine() -> None:
    recipe = Recipe(lr=1.0, warmup=0.1, min_lr=0.0)
    rates = [learning_rate(recipe, step, 100) for step in range(100)]
    assert rates[:10] == pytest.approx([0.1 * k for k in range(1, 11)])
    assert rates[54] == pytest.approx(0.5, abs=0.01)
    assert rates[-1] == pytest.approx(0.0, abs=1e-12)
    assert all(a > b for a, b in pairwise(rates[9:]))


def test_a_short_run_trains() -> None:
    recipe = Recipe(lr=1.0)
    assert [learning_rate(recipe, 0, 1)] == [1.0]
    assert [learning_rate(recipe, step, 2) for step in range(2)] == pytest.approx([1.0, 0.5])
    for warmup in (0.0, 0.05, 0.1, 0.5, 1.0):
        for steps in range(1, 40):
            rates = [learning_rate(recipe.model_copy(update={"warmup": warmup}), k, steps) for k in range(steps)]
            assert max(rates) > 0.5
            assert min(rates) >= 0
    tuned = model("vpt")
    tuned.initialize()
    before = tuned.prompts.detach().clone()
    fit(tuned, examples(), None, recipe=Recipe(epochs=1, batch_size=32, lr=1e-2))
    assert (tuned.prompts - before).abs().max() > 1e-3


@pytest.mark.parametrize(("steps", "warmup"), [(12 * 25, 0.1), (100 * 25, 0.1), (10, 0.1), (3, 0.4), (300, 0.0)])
def test_rates_of_longer_runs_are_as_they_were(steps: int, warmup: float) -> None:
    recipe = Recipe(lr=0.032, warmup=warmup)
    for step in range(steps):
        done = (step + 1) / steps
        along = (done - warmup) / (1 - warmup)
        expected = 1e-8 + (0.032 - 1e-8) * 0.5 * (1 + math.cos(math.pi * along))
        assert learning_rate(recipe, step, steps) == (0.032 * done / warmup if done <= warmup else expected)


@pytest.mark.parametrize("ema", [None, 0.5])
def test_weights_that_are_not_finite_end_a_run(ema: float | None) -> None:
    recipe = Recipe(optimizer="sgd", momentum=0.0, epochs=1, batch_size=12, ema_decay=ema)
    with pytest.raises(
        Diverged, match=r"weight head\.\S+ became NaN or infinite in epoch 1: use a smaller --lr than"
    ):
        fit(
            model("linear"), examples(), None, recipe=recipe.model_copy(update={"lr": 3e38, "head_weight_decay": 1e5})
        )


def test_answers_that_are_not_finite_are_no_accuracy() -> None:
    broken = model("linear").eval()
    broken.head.linear.weight.data.fill_(3e38)  # a number, whose products are none
    images = Decoded(examples(), broken.protocol)
    with pytest.raises(Diverged, match="answers are NaN or infinite: train it with a smaller --lr"):
        evaluate_network(broken, images, Engine("float32"), 8)


def test_an_average_that_is_not_finite_ends_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    update = MovingAverage.update

    def overflow(self: MovingAverage, state: dict[str, torch.Tensor]) -> None:
        update(self, state)
        self.state["head.linear.bias"][0] = math.inf

    monkeypatch.setattr(MovingAverage, "update", overflow)
    with pytest.raises(Diverged, match=r"head\.linear\.bias became NaN or infinite"):
        fit(model(), examples(), None, recipe=Recipe(epochs=1, batch_size=4, ema_decay=0.9))


@pytest.mark.parametrize("kind", get_args(Kind))
def test_tokens_that_are_not_finite_are_no_prototypes(kind: str, images: torch.Tensor) -> None:
    images[0, 0, 0, 0] = math.nan
    with pytest.raises(UserError, match="tiny class token are NaN or infinite, and no prompt can start"):
        model(prototypes=kind, num_prompts=16).initialize([images[:1]])


def test_a_backbone_that_is_not_finite_is_named() -> None:
    broken = model("linear")
    broken.backbone.vit.norm.weight.data[0] = math.nan
    with pytest.raises(UserError, match="features of tiny class token are NaN or infinite"):
        fit(broken, examples(), None, recipe=Recipe(epochs=1))


def test_an_adapter_with_nan_is_refused(tmp_path: Path) -> None:
    broken = model()
    broken.head.linear.bias.data[0] = math.nan
    write_adapter(tmp_path, broken.adapter_config(), broken.adapter_state())
    with pytest.raises(UserError, match=r"head\.linear\.bias that is NaN or infinite: train it again"):
        load(tmp_path, make_backbone())


def test_weight_decay_is_per_group_and_spares_biases() -> None:
    recipe = Recipe(weight_decay=0.1, head_weight_decay=0.5)
    groups = make_optimizer(model(), recipe).param_groups
    assert {g["weight_decay"]: sorted(tuple(p.shape) for p in g["params"]) for g in groups} == {
        0.1: [(3, 4, 32)],
        0.5: [(3, 32)],
        0.0: [(3,)],
    }


@pytest.mark.parametrize("method", ["spt", "full", "bias", "linear"])
@pytest.mark.parametrize("head_lr", [None, 0.125])
def test_the_head_has_its_own_rate_and_all_else_the_other(method: str, head_lr: float | None) -> None:
    recipe = Recipe(lr=0.5, head_lr=head_lr, warmup=0.1)
    tuned = create_model(make_backbone(), method, num_classes=3)
    optimizer, heads = make_optimizer(tuned, recipe), {id(p) for p in tuned.head.parameters()}
    for step, share in ((0, 0.1), (9, 1.0)):  # of 100, in the warm-up and at its end
        set_rates(optimizer, recipe, step, 100)
        rates = {(id(p) in heads, g["lr"]) for g in optimizer.param_groups for p in g["params"]}
        own = {True: head_lr or 0.5, False: 0.5}
        assert dict(rates) == pytest.approx({head: share * own[head] for head in dict(rates)})
        assert len(rates) == len(dict(rates)) == (1 if method == "linear" else 2)
    trained = [id(p) for group in optimizer.param_groups for p in group["params"]]
    assert sorted(trained) == sorted(id(p) for p in tuned.parameters() if p.requires_grad)
    for group in optimizer.param_groups:  # as checkpoints were when one rate served all
        del group["peak"]
    set_rates(optimizer, recipe, 9, 100)
    assert {group["lr"] for group in optimizer.param_groups} == {0.5}


@pytest.mark.parametrize(("lr", "head_lr"), [(1e-2, 1e-30), (1e-30, 1e-2), (1e-2, 1e-2)])
def test_a_fit_moves_prompts_and_head_at_their_own_rates(lr: float, head_lr: float, tmp_path: Path) -> None:
    tuned, alike = model("vpt"), model("vpt")
    for made in (tuned, alike):
        made.initialize()
    before = {name: value.clone() for name, value in tuned.adapter_state().items()}
    recipe = Recipe(epochs=2, batch_size=4, lr=lr, head_lr=head_lr, min_lr=0)
    fit(tuned, examples(), None, recipe=recipe, output_dir=tmp_path)
    moved = {name for name, value in tuned.adapter_state().items() if (value - before[name]).abs().max() > 1e-6}
    assert any(name.startswith("head.") for name in moved) == (head_lr > 1e-3)
    assert any("prompts" in name for name in moved) == (lr > 1e-3)
    if lr == head_lr:
        fit(alike, examples(), None, recipe=recipe.model_copy(update={"head_lr": None}))
        assert all(torch.equal(value, alike.adapter_state()[name]) for name, value in tuned.adapter_state().items())


def test_the_moving_average_is_its_formula() -> None:
    state = {"w": torch.tensor([1.0])}
    average = MovingAverage(state, 0.9)
    for value in (2.0, 3.0):
        average.update({"w": torch.tensor([value])})
    assert average.state["w"].item() == pytest.approx(0.9 * (0.9 * 1 + 0.1 * 2) + 0.1 * 3)


def test_fewer_images_a_pass_when_memory_is_out(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = Recipe(epochs=2, batch_size=8, lr=1e-2)
    whole = model()
    fit(whole, examples(), examples(), recipe=recipe)

    piece, sizes = Loop._piece, []

    def short_of_memory(self: Loop, batch: Batch, *rest: object, **more: Any) -> torch.Tensor:
        if len(batch.inputs) > 2:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate")
        sizes.append(len(batch.inputs))
        return piece(self, batch, *rest, **more)

    monkeypatch.setattr(Loop, "_piece", short_of_memory)
    pieces = model()
    fit(pieces, examples(), examples(), recipe=recipe)
    assert set(sizes) == {2}
    assert torch.allclose(whole.prompts, pieces.prompts, atol=1e-4)

    def no_memory(self: Loop, *rest: object, **more: Any) -> torch.Tensor:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate")

    monkeypatch.setattr(Loop, "_piece", no_memory)
    with pytest.raises(UserError, match="Memory is out at one image a pass"):
        fit(model(), examples(), examples(), recipe=recipe)


def test_a_batch_norm_sees_the_whole_batch_or_none(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = Recipe(epochs=2, batch_size=8, lr=1e-2)
    monkeypatch.setattr("selfprompt.tuning.fit.images_that_fit", lambda *_: 3)
    with pytest.raises(
        UserError, match=r"batch of 8 images .* memory holds 3: use --batch-size 3 .* --head-norm none"
    ):
        fit(model(head_norm="batch"), examples(), examples(), recipe=recipe)
    few = fit(model(head_norm="batch", frozen_prompts=True), examples(), examples(), recipe=recipe)
    monkeypatch.undo()
    whole = fit(model(head_norm="batch", frozen_prompts=True), examples(), examples(), recipe=recipe)
    assert [row["train_loss"] for row in few.history] == pytest.approx([row["train_loss"] for row in whole.history])

    class Two(Engine):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            self.world = 2

    monkeypatch.setattr("selfprompt.tuning.fit.Engine", Two)
    with pytest.raises(UserError, match="2 processes have a part each: use --head-norm none, or one process"):
        fit(model(head_norm="batch"), examples(), examples(), recipe=recipe)


def test_same_seed_same_numbers() -> None:
    recipe = Recipe(epochs=2, batch_size=4, lr=1e-2)
    runs = []
    for seed in (0, 0, 1):
        one = model(prompt_dropout=0.2)
        fit(one, examples(), examples(), recipe=recipe, seed=seed)
        runs.append(one.prompts.detach())
    assert torch.equal(runs[0], runs[1])
    assert not torch.equal(runs[0], runs[2])


def test_the_best_epoch_on_validation_is_kept(tmp_path: Path) -> None:
    trained = create_model(make_backbone(), "linear", num_classes=3)
    result = fit(
        trained, examples(), examples(6), recipe=Recipe(epochs=8, batch_size=4, lr=3e-2), output_dir=tmp_path
    )
    accuracies = [row["val_accuracy"] for row in result.history]
    assert result.metrics["val_accuracy"] == max(accuracies)
    assert accuracies[result.metrics["best_epoch"] - 1] == max(accuracies)
    assert (tmp_path / "adapter_model.safetensors").exists()


def test_patience_ends_a_run_early() -> None:
    result = fit(model(), examples(), examples(), recipe=Recipe(epochs=50, batch_size=4, lr=1e-12, patience=2))
    assert len(result.history) < 50
    assert len(result.history) == result.metrics["best_epoch"] + 2


def test_frozen_prompts_train_the_head_on_features_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    features = PromptedModel.features
    monkeypatch.setattr(PromptedModel, "features", lambda self, x: calls.append(len(x)) or features(self, x))
    frozen = model(frozen_prompts=True)
    fit(frozen, examples(), examples(6), recipe=Recipe(epochs=5, batch_size=4))
    assert sum(calls) == 12 + 6
    started = model()
    started.initialize([frozen.normalize(torch.from_numpy(np.stack(examples().images)).permute(0, 3, 1, 2))])
    assert torch.allclose(frozen.prompts, started.prompts, atol=1e-5)


def test_bf16_is_finite_and_near_float32() -> None:
    results = {}
    for precision in ("float32", "bf16"):
        trained = model()
        recipe = Recipe(epochs=3, batch_size=4, lr=1e-2, precision=precision)
        results[precision] = fit(trained, examples(), examples(), recipe=recipe).history[-1]["train_loss"]
        assert trained.prompts.dtype == torch.float32
    assert math.isfinite(results["bf16"])
    assert results["bf16"] == pytest.approx(results["float32"], rel=0.2)
    assert results["bf16"] != results["float32"]


def test_a_share_of_the_images_makes_the_prototypes() -> None:
    trained = model(prototype_share=0.25)
    fit(trained, examples(), examples(), recipe=Recipe(epochs=1, batch_size=4))
    assert trained.sources is not None
    assert len(trained.sources[..., 0].unique()) <= 3
    single = model(prototype_share=1e-6)
    fit(single, examples(), examples(), recipe=Recipe(epochs=1, batch_size=4))
    assert len(single.sources[..., 0].unique()) == 1


@pytest.mark.parametrize("augmentation", ["flip", "crop_flip", "resize_crop_flip"])
def test_prototypes_are_patches_of_the_images_as_they_can_be_shown(augmentation: str) -> None:
    plain, augmented = model(), model()
    augmented.protocol = augmented.protocol.model_copy(update={"augmentation": augmentation})
    for one in (plain, augmented):
        start_prompts(one, Decoded(examples(), one.protocol, train=True), seed=3)
    shown = Decoded(examples(), augmented.protocol).get(np.arange(12))
    tokens = augmented.backbone.content(augmented.normalize(shown))
    assert augmented.sources is not None
    image, position = augmented.sources[0].T
    assert torch.allclose(augmented.prompts[0], tokens[image, position], atol=1e-5)
    assert torch.equal(augmented.prompts, plain.prompts)


@pytest.mark.parametrize("method", ["spt", "gatevpt", "cvpt"])
def test_checkpointing_changes_no_number(method: str) -> None:
    trained = []
    for checkpointing in (False, True):
        tuned = model(method, prompt_dropout=0.2)
        fit(
            tuned, examples(), examples(), recipe=Recipe(epochs=2, batch_size=4, lr=1e-2, checkpointing=checkpointing)
        )
        trained.append(tuned.prompts)
    assert torch.equal(*trained)


@pytest.mark.parametrize("kind", KINDS)
def test_matrices_held_in_bf16_give_what_autocast_gives(kind: str, images: torch.Tensor) -> None:
    prompted = create_model(make_backbone(kind), "spt", num_classes=3, num_prompts=4)
    prompted.initialize([images])
    engine = Engine("bf16")
    with torch.autocast("cpu", torch.bfloat16):
        expected = prompted(images)
        own = prompted.backbone
        with engine.computing(prompted):
            assert prompted.backbone is not own
            assert prompted.backbone.vit.blocks[0].attn.proj.weight.dtype == torch.bfloat16
            assert torch.equal(prompted(images), expected)
    assert prompted.backbone is own
    assert own.vit.blocks[0].attn.proj.weight.dtype == torch.float32


def test_waiting_for_images_is_measured() -> None:
    tuned = model()
    recipe = Recipe(epochs=2, batch_size=4, lr=1e-2)
    kept = fit(tuned, examples(), examples(), recipe=recipe).metrics["waiting_share"]
    assert 0 <= kept < 1
    slow = model()
    slow.protocol = slow.protocol.model_copy(update={"augmentation": "crop_flip"})
    assert fit(slow, examples(), examples(), recipe=recipe).metrics["waiting_share"] > 0


def test_a_compiled_run_gives_the_same_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = torch.compile
    monkeypatch.setattr(torch, "compile", lambda network, **options: whole(network, backend="eager", **options))
    trained = []
    for compiled in (False, True):
        tuned = model()
        result = fit(tuned, examples(), examples(), recipe=Recipe(epochs=2, batch_size=4, lr=1e-2, compile=compiled))
        trained.append(tuned.prompts)
        assert (result.metrics["compile_seconds"] > 0) == compiled
    assert torch.allclose(*trained, atol=1e-6)


def test_validation_multiplies_in_the_precision_of_training() -> None:
    tuned, seen = model(), set()
    tuned.head.register_forward_pre_hook(
        lambda head, features: seen.add((head.training, torch.is_autocast_enabled("cpu")))
    )
    fit(tuned, examples(), examples(), recipe=Recipe(epochs=1, batch_size=4, precision="bf16"))
    assert seen == {(True, True), (False, True)}
