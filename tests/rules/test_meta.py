"""MAML over groups of examples: what a step follows, and what its tasks are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import selfprompt as sp
from selfprompt.errors import UserError
from selfprompt.inputs import Batch
from selfprompt.model import PromptedModel
from selfprompt.rules.meta import Meta
from selfprompt.tuning.loop import Loop
from tiny_models import WORDS, known

RATE = 0.3


class Toy(nn.Module):
    """Two layers that a prompt goes through beside an input."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = nn.Linear(6, 8).double(), nn.Linear(8, 3).double()
        self.prompt = nn.Parameter(torch.randn(2, 2, dtype=torch.double))

    def loss(self, batch: Batch, prompt: Tensor) -> Tensor:
        x = torch.cat([batch.inputs, prompt.flatten().expand(len(batch.inputs), -1)], dim=1)
        return F.cross_entropy(self.second(torch.tanh(self.first(x))), batch.labels)


def batch(count: int = 16) -> Batch:
    generator = torch.Generator().manual_seed(1)
    return Batch(torch.randn(count, 2, generator=generator).double(), torch.arange(count) % 3)


def stepped(rule: Meta, loss: Callable[[Batch, Tensor], Tensor], prompt: nn.Parameter, tasks: int = 2) -> Tensor:
    """The gradient that the optimiser is given."""
    optimizer = torch.optim.SGD([prompt], lr=1.0)
    before = prompt.detach().clone()

    def backward(part: Batch) -> Tensor:
        found = loss(part, prompt)
        found.backward()
        return found.detach()

    rule.step(backward, batch(8 * tasks), optimizer, [prompt], {"tasks": torch.tensor(tasks)})
    return before - prompt.detach()


def meta(second: bool, rate: float = RATE, steps: int = 1) -> Meta:
    return Meta(2, "random", 4, rate, steps, second)


@pytest.mark.parametrize("steps", [1, 3])
def test_second_order_agrees_with_differences_of_the_loss_and_with_double_backward(steps: int) -> None:
    toy, whole = Toy(), batch()

    def outer(prompt: Tensor, graph: bool) -> Tensor:
        total = torch.zeros((), dtype=torch.double)
        for i in range(2):
            support, query = (Batch(*(part[8 * i + j : 8 * i + j + 4] for part in whole)) for j in (0, 4))
            moved = prompt
            for _ in range(steps):
                moved = moved - RATE * torch.autograd.grad(toy.loss(support, moved), moved, create_graph=graph)[0]
            total = total + toy.loss(query, moved) / 2
        return total

    found = stepped(meta(True, steps=steps), toy.loss, nn.Parameter(toy.prompt.detach().clone()))
    exact = torch.autograd.grad(outer(toy.prompt, True), toy.prompt)[0]
    assert (found - exact).norm() < 1e-6 * exact.norm()
    for place in np.ndindex(2, 2):
        shift = torch.zeros(2, 2, dtype=torch.double)
        shift[place] = 1e-5
        ends = [outer((toy.prompt + sign * shift).detach().requires_grad_(), False) for sign in (1, -1)]
        assert abs((ends[0] - ends[1]) / 2e-5 - found[place]) < 1e-5 * exact.norm()
    first = stepped(meta(False, steps=steps), toy.loss, nn.Parameter(toy.prompt.detach().clone()))
    assert (first - exact).norm() > 1e-3 * exact.norm()


def test_orders_agree_on_a_linear_loss_and_differ_by_the_hessian_on_a_quadratic_one() -> None:
    hessian = torch.tensor([[2.0, 0.5], [0.5, 1.0]]).double()

    def linear(part: Batch, prompt: Tensor) -> Tensor:
        return (part.inputs.mean(dim=0) * prompt).sum()

    def quadratic(part: Batch, prompt: Tensor) -> Tensor:
        return 0.5 * prompt @ hessian @ prompt + (part.inputs.mean(dim=0) * prompt).sum()

    for loss, factor in ((linear, torch.eye(2).double()), (quadratic, torch.eye(2).double() - RATE * hessian)):
        start = torch.tensor([0.7, -0.4]).double()
        first, second = (stepped(meta(order), loss, nn.Parameter(start.clone())) for order in (False, True))
        assert torch.allclose(second, factor @ first, atol=1e-8)


def examples(seed: int = 0, count: int = 64) -> sp.Examples:
    """Texts of two topics and of two classes, which one word tells."""
    rng = np.random.default_rng(seed)
    texts = []
    for i in range(count):
        words = rng.choice(WORDS[10:20] if i % 4 < 2 else WORDS[20:30], 5).tolist()
        texts.append(" ".join([WORDS[6 + i % 2], *words]))
    return sp.Examples(texts, np.arange(count) % 2)


def model(**fields: Any) -> PromptedModel:
    fields = {"num_prompts": 3, "groups": 2, "inner_examples": 4, **fields}
    return sp.create_model(known("BertForMaskedLM")[1], "metapt", class_names=["good", "bad"], **fields)


def fitted(made: PromptedModel, folder: Path | None = None, **more: Any) -> list[dict[str, float]]:
    recipe = sp.Recipe(epochs=2, batch_size=16, lr=0.03, weight_decay=0, warmup=0, precision="float32")
    return sp.fit(made, examples(), examples(1, 8), recipe=recipe, output_dir=folder, seed=3, **more).history


def test_without_an_inner_step_it_is_plain_training_on_the_same_examples(monkeypatch: pytest.MonkeyPatch) -> None:
    """To the bit: alpha 0 is PPT's mixing."""
    met, plain = (
        model(inner_lr=0),
        sp.create_model(known("BertForMaskedLM")[1], "ppt", class_names=["good", "bad"], num_prompts=3),
    )
    orders: list[list[np.ndarray]] = []
    order = Meta.order

    def seen(self: Meta, *given: Any) -> list[np.ndarray]:
        orders.append(order(self, *given))
        return orders[-1]

    monkeypatch.setattr(Meta, "order", seen)
    fitted(met)
    queries = [[np.concatenate([step[4:8], step[12:16]]) for step in epoch] for epoch in orders]
    from selfprompt.rules.plain import Plain

    monkeypatch.setattr(Plain, "order", lambda self, *given: queries[given[3]])
    monkeypatch.setattr(Loop, "_pieces", lambda self, batch: 2)  # a task at a time
    fitted(plain)
    assert torch.equal(met.prompts, plain.prompts)
    moved = model(inner_lr=0.5)
    fitted(moved)
    assert not torch.equal(met.prompts, moved.prompts)


@pytest.mark.parametrize("order", [1, 2])
def test_a_run_trains_resumes_and_leaves_the_model_as_it_was(order: int, tmp_path: Path) -> None:
    class Stop(Exception):
        pass

    def stop(done: int, steps: int, words: str) -> None:
        if done == 5:
            raise Stop

    before = known("BertForMaskedLM")[1].fingerprint()
    whole, half, again = (model(meta_order=order) for _ in range(3))
    fitted(whole)
    assert not torch.equal(whole.prompts, model().prompts)
    with pytest.raises(Stop):
        fitted(half, tmp_path, on_step=stop, checkpoint_seconds=0)
    fitted(again, tmp_path, resume=True)
    assert torch.equal(whole.prompts, again.prompts)
    assert known("BertForMaskedLM")[1].fingerprint() == before


def test_tasks_are_disjoint_halves_of_one_group_and_the_seed_decides_them() -> None:
    states = torch.cat([torch.randn(20, 4), torch.randn(20, 4) + 20, torch.randn(3, 4) - 20, torch.randn(9, 4) - 40])
    labels = torch.arange(52) % 2
    labels[43:] = 1
    rule = Meta(4, "kmeans", 3, 0.1)
    held = rule.sort(lambda: states, labels, 12, 0)
    group = held["group"]
    assert len(group[:20].unique()) == len(group[20:40].unique()) == 1
    assert (group[40:] == -1).all()  # too few of them, and of one class
    steps = rule.order(52, 12, 5, 1, held)
    assert len(steps) == 4
    for step in steps:
        for part in np.split(step, 2):
            assert len(set(part)) == 6
            assert len(group[part].unique()) == 1
        assert len(group[step].unique()) == 2
    again = rule.order(52, 12, 5, 1, held)
    assert all((a == b).all() for a, b in zip(steps, again))
    other = rule.order(52, 12, 6, 1, held)
    assert any((a != b).any() for a, b in zip(steps, other))

    def unread() -> Tensor:
        raise AssertionError

    found = Meta(4, "random", 3, 0.1).sort(unread, torch.arange(52) % 2, 12, 0)["group"]
    assert found.bincount().tolist() == [13] * 4


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"inner_examples": 9}, "--batch-size 18"),
        ({"groups": 60, "grouping": "random"}, "None of 60 groups has 8 examples"),
        ({"groups": 90}, "64 examples for 90 groups"),
        ({"subspace": "early"}, "leave subspace out"),
        ({"frozen_prompts": True}, "leave frozen_prompts out"),
        ({"meta_order": 2, "prompt_dropout": 0.1}, "--prompt-dropout"),
    ],
)
def test_what_cannot_be_is_refused(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        fitted(model(**fields))
