"""Prompt Condensation: the scores, the ranking, and that what is taken away is gone."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

import selfprompt as sp
from conftest import METHODS, make_backbone
from selfprompt.analysis import leave_one_out, saliency
from selfprompt.assembly import create_model, load
from selfprompt.data.datasets import Examples
from selfprompt.errors import UserError
from selfprompt.inputs import Batch
from selfprompt.methods.recipe import Recipe
from selfprompt.model import PromptedModel
from selfprompt.objectives.labels import Labels
from selfprompt.prompts.condensation.saliency import keep_best, prompt_scores
from selfprompt.tuning.fit import fit

PROMPTED = [n for n in METHODS if "keep" in sp.describe(n).factory.model_fields]


def started(method: str = "vpt", **fields: Any) -> PromptedModel:
    model = create_model(make_backbone(), method, num_classes=3, num_prompts=6, **fields)
    model.initialize([torch.randn(6, 3, 32, 32, generator=torch.Generator().manual_seed(2))])
    return model.eval()


def labelled(images: torch.Tensor) -> list[Batch]:
    labels = torch.tensor([0, 1, 2, 0])
    return [Batch(images[:3], labels[:3]), Batch(images[3:], labels[3:])]


@pytest.mark.parametrize("readout", ["backbone", "mae_average"])
@pytest.mark.parametrize("method", ["vpt", "spt", "gatevpt", "cvpt", "e2vpt"])
def test_a_score_estimates_the_loss_without_the_prompt(method: str, readout: str, images: torch.Tensor) -> None:
    model = create_model(make_backbone(), method, num_classes=3, num_prompts=64, readout=readout)
    model.initialize([torch.randn(6, 3, 32, 32, generator=torch.Generator().manual_seed(2))])
    model.eval()
    labels = torch.cat([y for _, y in labelled(images)])
    scores = saliency(model, labelled(images))
    exact = leave_one_out(model, images, labels).abs()
    assert torch.corrcoef(torch.stack([scores.flatten(), exact.flatten()]))[0, 1] > 0.9
    assert 0.8 < scores.sum() / exact.sum() < 1.2
    assert model.backbone.watch is None


def test_a_score_does_not_depend_on_a_prompts_scale(images: torch.Tensor) -> None:
    model = started()
    scores = prompt_scores(model.insertion, model.backbone, partial(Labels(), model), labelled(images))
    assert (scores > 0).all()
    model.prompts.data *= 7
    again = prompt_scores(model.insertion, model.backbone, partial(Labels(), model), labelled(images))
    assert torch.allclose(scores, again, rtol=1e-2)


def test_ranking_is_over_all_layers_and_ties_go_in_order() -> None:
    scores = torch.rand(3, 6, generator=torch.Generator().manual_seed(0)) + 0.5
    scores[1] *= 10
    assert keep_best(scores, 6 / 18).sum(dim=1).tolist() == [0, 6, 0]
    assert keep_best(torch.ones(2, 3), 0.5).tolist() == [[True] * 3, [False] * 3]
    assert keep_best(scores, 0.3).sum() == 6  # ceil(5.4)
    assert keep_best(scores, 1.0).all()


@pytest.mark.parametrize("method", PROMPTED)
def test_keeping_all_changes_nothing_and_keeping_none_removes_them(method: str, images: torch.Tensor) -> None:
    model = started(method)
    layers = len(model.prompts)
    expected = model(images)
    model.insertion.condense(torch.ones(layers, 6, dtype=torch.bool))
    assert model.prompts.shape == (layers * 6, 32)
    assert torch.allclose(model(images), expected, atol=1e-5)
    if method in ("vpt", "spt", "pc", "vfpt", "cvpt"):
        gone = started(method)
        gone.insertion.condense(torch.zeros(layers, 6, dtype=torch.bool))
        assert torch.allclose(gone.features(images), make_backbone().vit.eval()(images), atol=1e-5)


@pytest.mark.parametrize("method", PROMPTED)
def test_a_condensed_run_keeps_its_share_and_comes_back(method: str, tmp_path: Path, images: torch.Tensor) -> None:
    model = started(method, keep=0.3)
    layers = len(model.prompts)
    pixels = torch.randint(0, 256, (12, 32, 32, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    examples = Examples(list(pixels.numpy()), torch.arange(12).remainder(3).numpy())
    result = fit(model, examples, examples, recipe=Recipe(epochs=2, batch_size=4, lr=1e-2), output_dir=tmp_path)
    kept = -(-layers * 6 * 3 // 10)
    assert model.prompts.shape == (kept, 32)
    assert [row["epoch"] for row in result.history] == [1, 2]
    assert result.metrics["best_epoch"] == result.metrics["epochs"] == 2
    back = load(tmp_path, backbone=make_backbone())
    assert torch.equal(back(images), model(images))
    assert model.sources is None or ((model.sources[..., 0] < 0).sum() == layers * 6 - kept)


@pytest.mark.parametrize("method", PROMPTED)
@pytest.mark.parametrize("epochs", [2, 3, 5])
def test_a_condensed_run_takes_as_many_steps_as_any(method: str, epochs: int) -> None:
    pixels = torch.randint(0, 256, (12, 32, 32, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    examples = Examples(list(pixels.numpy()), torch.arange(12).remainder(3).numpy())
    steps: list[float] = []
    for keep in (1.0, 0.4):
        recipe = Recipe(epochs=epochs, batch_size=4, lr=1e-3)
        fit(
            started(method, keep=keep),
            examples,
            examples,
            recipe=recipe,
            on_step=lambda *_, keep=keep: steps.append(keep),
        )
    assert steps.count(1.0) == steps.count(0.4) == 3 * epochs
    with pytest.raises(UserError, match="use --epochs 2"):
        fit(started(method, keep=0.4), examples, examples, recipe=Recipe(epochs=1))


@pytest.mark.parametrize("stop", [4, 8])
def test_a_run_stopped_in_either_stage_ends_the_same(stop: int, tmp_path: Path, images: torch.Tensor) -> None:
    pixels = torch.randint(0, 256, (12, 32, 32, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    examples = Examples(list(pixels.numpy()), torch.arange(12).remainder(3).numpy())
    steps = 0

    def on_step(done: int, total: int, words: str) -> None:
        nonlocal steps
        steps += 1
        if steps == stop:
            raise KeyboardInterrupt

    def run(folder: Path, **more: Any) -> PromptedModel:
        model = create_model(make_backbone(), "spt", num_classes=3, num_prompts=6, keep=0.4)
        recipe = Recipe(epochs=3, batch_size=4, lr=1e-2)
        fit(model, examples, examples, recipe=recipe, output_dir=folder, checkpoint_seconds=0, **more)
        return model

    straight = run(tmp_path / "straight")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "stopped", on_step=on_step)
    again = run(tmp_path / "stopped", resume=True)
    assert torch.equal(straight(images), again(images))
    assert (tmp_path / "straight" / "log.csv").read_text(encoding="utf-8") == (
        tmp_path / "stopped" / "log.csv"
    ).read_text(encoding="utf-8")
