"""Training within the directions of a first training: what holds of the subspace, and of runs in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import selfprompt as sp
from conftest import make_backbone
from selfprompt.errors import UserError
from selfprompt.model import PromptedModel
from selfprompt.rules.base import Held
from selfprompt.rules.subspace import Subspace, flat, principal_axes
from selfprompt.tuning.optimization import trained_besides_head

SGD = {"optimizer": "sgd", "lr": 0.1, "batch_size": 4, "weight_decay": 0.0, "head_weight_decay": 0.0}
BOTH = pytest.mark.parametrize("by", ["projection", "coordinates"])


def examples() -> sp.Examples:
    pixels = np.random.default_rng(0).integers(0, 256, (12, 32, 32, 3), dtype=np.uint8)
    return sp.Examples(list(pixels), np.arange(12) % 3)


def made(method: str = "vpt", **fields: Any) -> PromptedModel:
    model = sp.create_model(make_backbone(), method, num_classes=3, **{"num_prompts": 2, **fields})
    model.initialize([torch.randn(6, 3, 32, 32, generator=torch.Generator().manual_seed(2))])
    return model


def fitted(model: PromptedModel, epochs: int = 6, folder: Path | None = None, **more: Any) -> sp.Result:
    recipe = sp.Recipe(**{**SGD, "epochs": epochs, **more.pop("recipe", {})})
    return sp.fit(model, examples(), None, recipe=recipe, output_dir=folder, checkpoint_seconds=0, **more)


@pytest.fixture
def points(monkeypatch: pytest.MonkeyPatch) -> list[torch.Tensor]:
    """Where the weights stood after each step in a subspace, the start first."""
    found: list[torch.Tensor] = []
    begin, step = Subspace.begin, Subspace.step

    def begun(self: Subspace, weights: Any, *rest: Any) -> Held:
        found.append(flat(weights).detach().clone())
        return begin(self, weights, *rest)

    def stepped(self: Subspace, backward: Any, batch: Any, optimizer: Any, weights: Any, held: Held) -> torch.Tensor:
        loss = step(self, backward, batch, optimizer, weights, held)
        found.append(flat(weights).detach().clone())
        return loss

    monkeypatch.setattr(Subspace, "begin", begun)
    monkeypatch.setattr(Subspace, "step", stepped)
    return found


def test_principal_axes_are_an_orthogonal_projector() -> None:
    """Of known points: their own directions, the widest first."""
    axes = torch.linalg.qr(torch.randn(30, 3, generator=torch.Generator().manual_seed(0)).double()).Q.T
    spread = torch.randn(8, 3, generator=torch.Generator().manual_seed(1)).double() * torch.tensor([9.0, 3.0, 1.0])
    found = principal_axes(list(spread @ axes + 5), 3)
    projector = found.T @ found
    assert torch.allclose(found @ found.T, torch.eye(3).double(), atol=1e-6)
    assert torch.allclose(projector @ projector, projector, atol=1e-6)
    assert torch.allclose(projector, axes.T @ axes, atol=1e-6)
    assert abs((found[0] @ axes[0]).item()) > 0.8
    with pytest.raises(UserError, match="2 directions, and 3 are asked for"):
        principal_axes(list(spread[:3] @ axes), 3)


@BOTH
@pytest.mark.parametrize("directions", ["early", "late", "random"])
def test_prompts_leave_their_start_only_along_the_directions(
    points: list[torch.Tensor], directions: str, by: str
) -> None:
    start = made()
    fitted(made(subspace=directions, subspace_rank=2, subspace_epochs=3, subspace_by=by))
    assert torch.equal(points[0], flat(trained_besides_head(start)))  # the second training starts where the first did
    assert len(points) == 1 + 6 * 3
    moved = torch.stack(points[1:]) - points[0]
    sizes = torch.linalg.svdvals(moved.double())
    assert sizes[1] > 1e-3 * sizes[0]
    assert sizes[2] < 1e-5 * sizes[0]


@pytest.mark.parametrize("method", ["vpt", "apt", "spt"])
def test_all_directions_are_plain_training_and_coordinates_are_projection(method: str) -> None:
    """Step for step, under plain SGD; the head moves alike."""
    count = sum(p.numel() for p in trained_besides_head(made(method)))
    results = [made(method)]
    for by in ("projection", "coordinates"):
        results += [made(method, subspace="random", subspace_rank=count, subspace_by=by)]
    logs = [fitted(model, 2).history for model in results]
    for model, log in zip(results[1:], logs[1:]):
        assert [row["train_loss"] for row in log] == pytest.approx([row["train_loss"] for row in logs[0]], rel=1e-5)
        for key, value in model.adapter_state().items():
            assert torch.allclose(value, results[0].adapter_state()[key], atol=1e-5), key


def test_no_direction_and_no_decay_leave_prompts_as_they_were() -> None:
    model = made()
    weights, optimizer = [model.prompts], torch.optim.SGD([model.prompts], lr=1.0, momentum=0.9)
    rule, before = Subspace("random", 0, 2), model.prompts.detach().clone()
    held = rule.begin(weights, [], 0)

    def backward(batch: Any) -> torch.Tensor:
        model.prompts.grad = torch.ones_like(model.prompts)
        return torch.zeros(())

    rule.step(backward, None, optimizer, weights, held)
    assert torch.equal(model.prompts, before)


def test_directions_are_of_the_trainings_own_early_or_late_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are those of a plain run's first, or last, epochs; a run from another seed has others."""
    begun: list[tuple[list[torch.Tensor], Held]] = []
    begin = Subspace.begin

    def seen(self: Subspace, weights: Any, path: Any, seed: int) -> Held:
        begun.append((list(path), begin(self, weights, path, seed)))
        return begun[-1][1]

    monkeypatch.setattr(Subspace, "begin", seen)
    for directions, seed in (("early", 0), ("late", 0), ("early", 1)):
        fitted(made(subspace=directions, subspace_epochs=3, subspace_rank=2), seed=seed)
    (early, first), (late, last), (_, other) = begun
    assert (len(early), len(late)) == (3, 6)
    assert all(torch.equal(a, b) for a, b in zip(early, late))
    expected = principal_axes(late[-3:], 2).float()
    assert torch.equal(last["axes"], expected)
    for held in (last, other):
        assert not torch.allclose(held["axes"].T @ held["axes"], first["axes"].T @ first["axes"], atol=1e-2)
    plain = made()
    fitted(plain)
    assert torch.allclose(flat(trained_besides_head(plain)), late[-1], atol=1e-6)


@BOTH
@pytest.mark.parametrize("stop", [5, 11])
def test_a_run_stopped_in_either_training_ends_the_same(stop: int, by: str, tmp_path: Path) -> None:
    steps = 0
    more = {"recipe": {"optimizer": "adamw" if by == "coordinates" else "sgd", "ema_decay": 0.9}}

    def on_step(done: int, total: int, words: str) -> None:
        nonlocal steps
        steps += 1
        if steps == stop:
            raise KeyboardInterrupt

    def run(name: str, **rest: Any) -> PromptedModel:
        model = made("spt", subspace="early", subspace_epochs=3, subspace_by=by, head_norm="batch")
        fitted(model, 4, tmp_path / name, **more, **rest)
        return model

    whole = run("whole")
    with pytest.raises(KeyboardInterrupt):
        run("stopped", on_step=on_step)
    again = run("stopped", resume=True)
    for key, value in whole.adapter_state().items():
        assert torch.equal(value, again.adapter_state()[key]), key
    logs = [(tmp_path / name / "log.jsonl").read_bytes() for name in ("whole", "stopped")]
    assert logs[0] == logs[1]
    assert whole.metrics["val_accuracy"] is None


@pytest.mark.parametrize(
    ("fields", "recipe", "said"),
    [
        ({"subspace_rank": 3, "subspace_epochs": 3}, {}, "3 directions cannot be taken from 3 of 6 epochs"),
        ({"subspace_epochs": 7}, {}, "from 7 of 6 epochs"),
        ({"subspace_by": "projection"}, {"optimizer": "adamw"}, "or --subspace-by coordinates"),
        ({"keep": 0.5}, {}, "prompts that are condensed"),
        ({"frozen_prompts": True}, {}, "frozen prompts"),
        ({"subspace": "random", "subspace_rank": 10**4}, {}, "192 numbers are trained"),
    ],
)
def test_what_cannot_be_is_refused(fields: dict, recipe: dict, said: str) -> None:
    with pytest.raises(UserError, match=said):
        fitted(made(**{"subspace": "early", **fields}), recipe=recipe)
