"""Published recipes: what changes with the pretraining and the batch, and what does not."""

from __future__ import annotations

import pytest
import torch

from conftest import METHODS, make_backbone
from selfprompt.assembly import create_model
from selfprompt.comparison.search import grid_points
from selfprompt.comparison.suites import SUITES
from selfprompt.methods import make_method
from selfprompt.methods.recipe import Recipe
from selfprompt.runs.config import RunConfig

BASE_RATES = {"vpt": 1.0, "pc": 1.0, "e2vpt": 1.0, "vfpt": 1.0, "full": 5e-4}
"""Methods whose papers give a rate for a batch of 256 and scale it."""


@pytest.mark.parametrize("method", METHODS)
def test_a_base_rate_follows_the_batch_and_no_other_rate_does(method: str) -> None:
    for batch in (16, 64, 256):
        recipe = RunConfig.resolve("mnist5k", "builtin", method, recipe={"batch_size": batch}).recipe
        own = make_method(method).recipe("mae").lr
        assert recipe.lr == pytest.approx(BASE_RATES[method] * batch / 256 if method in BASE_RATES else own)
    named = RunConfig.resolve("mnist5k", "builtin", method, recipe={"batch_size": 16, "lr": 0.3}).recipe
    assert named.lr == 0.3
    assert RunConfig.resolve("mnist5k", "builtin", method).recipe == make_method(method).recipe("mae")


@pytest.mark.parametrize("method", METHODS)
def test_a_grid_follows_the_batch_as_its_recipe_does(method: str) -> None:
    made = make_method(method)
    if made.grid is None:
        return
    rates = {}
    for batch in (64, 128):
        recipe = made.recipe_with("mae", {"batch_size": batch})
        rates[batch] = [point.lr for point in grid_points(made.grid, recipe)]
        assert min(rates[batch]) <= recipe.lr <= max(rates[batch])
    factor = 2 if method in BASE_RATES else 1
    assert rates[128] == pytest.approx([factor * rate for rate in rates[64]])
    if method == "vpt":
        assert max(rates[64]) == 50 * 64 / 256
        assert min(rates[64]) == 0.05 * 64 / 256
    if method == "full":
        assert set(rates[64]) == {base / 4 for base in (1e-4, 5e-4, 1e-3, 5e-3)}


def test_spt_trains_mocov3_as_a_supervised_backbone_with_a_smaller_head() -> None:
    spt = make_method("spt")
    assert spt.recipe("mae") == Recipe(lr=5e-2, weight_decay=1e-2, head_weight_decay=0.5)
    assert (
        spt.recipe("mocov3") == spt.recipe("supervised") == Recipe(lr=1e-3, weight_decay=1e-2, head_weight_decay=3.0)
    )
    for method, pretraining, std in (("spt", "mocov3", 0.01), ("spt", "mae", 0.02), ("vpt", "mocov3", 0.02)):
        model = create_model(make_backbone(pretraining=pretraining), method, num_classes=500)
        assert model.head.linear.weight.std().item() == pytest.approx(std, rel=0.05)


@pytest.mark.parametrize("method", ["vpt", "spt", "pc"])
def test_shallow_prompts_are_a_hundred_and_deep_ones_twenty(method: str) -> None:
    for fields, shape in (({"shallow": True}, (1, 100, 32)), ({}, (3, 20, 32))):
        model = create_model(make_backbone(), method, num_classes=3, **fields)
        assert model.prompts.shape == torch.Size(shape)
        assert model.method.num_prompts == shape[1]
    assert create_model(make_backbone(), method, num_classes=3, shallow=True, num_prompts=7).prompts.shape[1] == 7
    stored = RunConfig.resolve("mnist5k", "builtin", f"{method}:shallow=true").method
    assert (stored.num_prompts, stored.shallow) == (100, True)


def test_final_runs_train_on_what_the_papers_train_on() -> None:
    finals = {
        (name, preset): s.protocol.get("final", "train") for name in SUITES for preset, s in SUITES[name].items()
    }
    assert finals.pop(("fgvc", "vpt2022")) == "train"
    few = [name for name in finals if name[0] in ("coop11", "imagenet-shift", "mini-clip", "mini-text")]
    assert {finals.pop(name) for name in few} == {"train"}
    assert set(finals.values()) == {"train+val"}


def test_coop_trains_for_as_long_as_its_shots_are_published() -> None:
    for shots, epochs in ((None, 200), (1, 50), (2, 100), (4, 100), (8, 200), (16, 200)):
        protocol = {} if shots is None else {"shots": shots}
        recipe = RunConfig.resolve("mnist5k", "builtin", "coop", protocol=protocol).recipe
        assert (recipe.epochs, recipe.warmup * recipe.epochs) == (epochs, 1)
        own = RunConfig.resolve("mnist5k", "builtin", "coop", protocol=protocol, recipe={"epochs": 7}).recipe
        assert own.epochs == 7
    spt = RunConfig.resolve("mnist5k", "builtin", "spt", protocol={"shots": 1})
    assert spt.recipe == make_method("spt").recipe("mae")
