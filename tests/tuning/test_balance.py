"""Classes of unequal numbers: said, weighed, drawn evenly, and what epochs are selected by."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from conftest import make_backbone
from selfprompt.assembly import create_model
from selfprompt.data.batches import Decoded, apart
from selfprompt.data.examples import Examples, class_counts
from selfprompt.data.protocol import Protocol
from selfprompt.errors import UserError
from selfprompt.inputs import Batch
from selfprompt.methods.recipe import Recipe
from selfprompt.methods.stages import Stage
from selfprompt.objectives.base import Objective
from selfprompt.objectives.labels import cross_entropy
from selfprompt.rules.meta import Meta
from selfprompt.tuning.balance import balanced, drawn, is_skewed, tell
from selfprompt.tuning.fit import Result, fit
from selfprompt.tuning.records import read_history

UNEVEN = torch.tensor([0] * 12 + [1] * 4 + [2] * 2)
SEVERAL = torch.from_numpy(np.random.default_rng(0).random((18, 3)) < [0.7, 0.4, 0.1])


def weighed(labels: torch.Tensor, scores: torch.Tensor, **recipe: Any) -> torch.Tensor:
    stage = balanced(Stage(Recipe(**recipe)), labels, 3)
    return stage.loss(lambda inputs: inputs, Batch(scores, labels))


def test_every_class_weighs_the_same_and_the_mean_weight_is_one() -> None:
    scores = torch.randn(18, 3, generator=torch.Generator().manual_seed(0))
    plain = F.cross_entropy(scores, UNEVEN, reduction="none")
    weights = weighed(UNEVEN, scores, balance="loss") / plain
    assert weights.mean() == pytest.approx(1)
    totals = [float(weights[c == UNEVEN].sum()) for c in range(3)]
    assert totals == pytest.approx([6] * 3)
    assert torch.equal(weighed(UNEVEN, scores, balance="none"), plain)
    assert torch.equal(weighed(UNEVEN, scores, balance="auto"), weighed(UNEVEN, scores, balance="loss"))


def test_of_several_labels_each_class_weighs_as_much_as_its_absence() -> None:
    scores = torch.randn(18, 3, generator=torch.Generator().manual_seed(0))
    each = F.binary_cross_entropy_with_logits(scores, SEVERAL.float(), reduction="none")
    assert torch.allclose(weighed(SEVERAL, scores), each.mean(dim=1))
    parts = [(each[:, c][SEVERAL[:, c]].mean() + each[:, c][~SEVERAL[:, c]].mean()) / 2 for c in range(3)]
    assert float(weighed(SEVERAL, scores, balance="loss").mean()) == pytest.approx(float(sum(parts)) / 3)


@pytest.mark.parametrize(
    ("counts", "odd"), [([9, 3, 0], False), ([10, 3, 0], True), ([0, 0], False), ([5, 5], False)]
)
def test_what_counts_as_unbalanced(counts: list[int], odd: bool, caplog) -> None:
    assert is_skewed(np.array(counts)) == odd
    with caplog.at_level(logging.WARNING):
        tell(np.array(counts), ["ant", "bee", "cow"][: len(counts)], "image", [Stage(Recipe())])
    assert ("10 are ant, the largest class, and 3 are bee, the smallest" in caplog.text) == odd


class Other(Objective):
    """One that knows no weights."""

    def __call__(self, network: Any, batch: Batch) -> torch.Tensor:
        return network(batch.inputs).mean(dim=1)


TASKS = Meta(2, "random", 2, 0.1)
WEIGH, DRAW, SELECT = "--balance loss weighs", "--balance sampler draws", "--metric balanced_accuracy or macro_f1"


@pytest.mark.parametrize(
    ("stage", "labels", "said"),
    [
        (Stage(Recipe()), UNEVEN, {WEIGH, DRAW, SELECT}),
        (Stage(Recipe(), rule=TASKS), UNEVEN, {WEIGH, SELECT}),
        (Stage(Recipe()), SEVERAL, {WEIGH}),
        (Stage(Recipe(balance="auto")), UNEVEN, {"the loss weighs them"}),
        (Stage(Recipe(balance="loss")), SEVERAL, {"the loss weighs them"}),
        (Stage(Recipe(balance="sampler")), UNEVEN, {"all are drawn as often"}),
        (Stage(Recipe(balance="auto"), Other()), UNEVEN, {DRAW, SELECT}),
        (Stage(Recipe(balance="auto"), Other()), SEVERAL, {"nothing is done about it"}),
    ],
)
def test_what_is_done_about_it_is_said(stage: Stage, labels: torch.Tensor, said: set[str], caplog) -> None:
    several = labels.ndim == 2
    with caplog.at_level(logging.WARNING):
        tell(np.array([10, 3]), None, "image", [balanced(stage, labels, 3)], several)
    every = {WEIGH, DRAW, SELECT, "the loss weighs them", "all are drawn as often", "nothing is done about it"}
    assert {words for words in every if words in caplog.text} == said


def test_what_is_not_trained_says_nothing_of_balance(caplog) -> None:
    untrained = create_model("builtin-clip", "zeroshot", class_names=["ant", "bee", "cow"])
    with caplog.at_level(logging.WARNING):
        fit(untrained, examples(UNEVEN), None, recipe=Recipe(epochs=1, balance="loss"))
    assert "unbalanced" not in caplog.text


def test_a_sampler_draws_every_class_as_often() -> None:
    epochs = np.stack([drawn(UNEVEN, 0, epoch) for epoch in range(300)])
    assert np.allclose(np.bincount(UNEVEN[epochs].flatten()) / epochs.size, 1 / 3, atol=0.02)
    assert set(epochs.flatten()) == set(range(18))
    assert (epochs[0] == drawn(UNEVEN, 0, 0)).all()
    assert (epochs[0] != epochs[1]).any()
    assert (epochs[0] != drawn(UNEVEN, 1, 0)).any()


@pytest.mark.parametrize(
    ("stage", "labels", "odd"),
    [
        (Stage(Recipe(balance="sampler")), SEVERAL, "an image may have several labels"),
        (Stage(Recipe(balance="sampler"), rule=Meta(2, "random", 2, 0.1)), UNEVEN, "draws tasks of its own"),
    ],
)
def test_a_sampler_that_cannot_be_is_refused(stage: Stage, labels: torch.Tensor, odd: str) -> None:
    with pytest.raises(UserError, match=f"no --balance sampler where .*{odd}: use --balance loss"):
        balanced(stage, labels, 3)


def examples(labels: Any, seed: int = 0) -> Examples:
    rng = np.random.default_rng(seed)
    return Examples(list(rng.integers(0, 256, (len(labels), 32, 32, 3), dtype=np.uint8)), np.asarray(labels))


def trained(
    folder: Path, labels: Any, metric: str = "top1", resume: bool = False, augmentation: str = "none", **recipe: Any
) -> Result:
    model = create_model(make_backbone(), "linear", num_classes=3)
    model.protocol = model.protocol.model_copy(update={"metric": metric, "augmentation": augmentation})
    settings = Recipe(epochs=4, batch_size=6, lr=0.05, **recipe)
    parts = examples(labels), examples(labels, seed=1)
    return fit(model, *parts, recipe=settings, output_dir=folder, resume=resume, checkpoint_seconds=0)


def test_where_classes_are_even_weights_change_no_bit(tmp_path: Path) -> None:
    even = np.arange(18) % 3
    runs = [trained(tmp_path / balance, even, balance=balance) for balance in ("none", "loss", "auto")]
    assert runs[0].history == runs[1].history == runs[2].history
    assert trained(tmp_path / "sampler", even, balance="sampler").history != runs[0].history


def test_what_is_drawn_again_is_augmented_by_a_draw_of_its_own(tmp_path: Path, monkeypatch) -> None:
    plain = [np.array([3, 1]), np.array([2, 0])]
    assert [batch.tolist() for batch in apart(plain, 4)] == [[3, 1], [2, 0]]
    again = apart([np.array([3, 1, 3]), np.array([1, 3, 0])], 18)
    assert [batch.tolist() for batch in again] == [[3, 1, 21], [19, 39, 0]]
    images = Decoded(examples(UNEVEN), Protocol(image_size=32, augmentation="crop_flip"), train=True)
    first, second = images.batches(again, epoch=2)
    (alone,) = images.batches([np.array([3])], epoch=2)
    assert torch.equal(first.inputs[0], alone.inputs[0])
    assert not torch.equal(first.inputs[0], first.inputs[2])
    assert not torch.equal(first.inputs[2], second.inputs[1])
    assert torch.equal(second.labels, UNEVEN[[1, 3, 0]])
    asked, decode = [], Decoded._decode
    monkeypatch.setattr(Decoded, "_decode", lambda self, *rest, **told: decode(self, *noted(*rest), **told))

    def noted(indices: np.ndarray, epoch: int | None = None) -> tuple[Any, ...]:
        asked.append((indices, epoch))
        return indices, *([] if epoch is None else [epoch])

    trained(tmp_path, UNEVEN, balance="sampler", augmentation="crop_flip")
    for epoch in range(4):
        seen = np.concatenate([indices for indices, which in asked if which == epoch])
        assert len(set(seen)) == 18 > len(set(seen % 18))


@pytest.mark.parametrize("augmentation", ["none", "crop_flip"])
def test_a_sampled_run_resumes_to_the_bit(augmentation: str, tmp_path: Path, monkeypatch) -> None:
    settings = {"balance": "sampler", "augmentation": augmentation}
    whole = trained(tmp_path / "whole", UNEVEN, **settings)
    from selfprompt.tuning.loop import Loop

    begin, steps = Loop._step, []

    def stop(self: Loop, *rest: Any) -> float:
        steps.append(1)
        if len(steps) == 5:  # in the second epoch
            raise KeyboardInterrupt
        return begin(self, *rest)

    monkeypatch.setattr(Loop, "_step", stop)
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "cut", UNEVEN, **settings)
    assert trained(tmp_path / "cut", UNEVEN, **settings, resume=True).history == whole.history


@pytest.mark.parametrize("metric", ["balanced_accuracy", "macro_f1", "map"])
def test_the_metric_selects_the_epoch(metric: str, tmp_path: Path) -> None:
    labels = SEVERAL.numpy() if metric == "map" else UNEVEN.numpy()
    done = trained(tmp_path, labels, metric)
    scores = [(row[f"val_{metric}"], -row["val_loss"]) for row in done.history]
    assert done.metrics["metric"] == metric
    assert done.metrics["best_epoch"] == 1 + scores.index(max(scores))
    assert done.metrics["val_score"] == max(scores)[0]
    assert done.metrics["val_accuracy"] == done.history[done.metrics["best_epoch"] - 1]["val_accuracy"]
    assert read_history(tmp_path, done.metrics) == done.history


@pytest.mark.parametrize(("metric", "several"), [("map", False), ("macro_f1", True), ("top1", True)])
def test_a_metric_of_other_labels_is_refused(metric: str, several: bool, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"--metric {metric} is not for data with {'several' if several else 'one'}"):
        trained(tmp_path, SEVERAL.numpy() if several else UNEVEN.numpy(), metric)


def test_counts_are_those_of_labels() -> None:
    assert class_counts(UNEVEN.numpy(), 4).tolist() == [12, 4, 2, 0]
    assert class_counts(SEVERAL.numpy(), 3).tolist() == SEVERAL.sum(dim=0).tolist()


def test_texts_that_nothing_trains_say_nothing_of_several_labels() -> None:
    untrained = create_model("builtin-clip", "zeroshot", class_names=["ant", "bee", "cow"])
    with pytest.raises(UserError, match="not trained, and says which one class is likeliest: train coop"):
        fit(untrained, examples(SEVERAL.numpy()), None, recipe=Recipe(epochs=1))


def test_a_weight_is_of_the_example_however_its_label_is_smoothed() -> None:
    """Two classes of 90 and 10: what is best for an example of the larger stays near its smoothed label."""
    labels = torch.tensor([0] * 90 + [1] * 10)
    found = []
    for label, weight in ((0, 100 / 180), (1, 100 / 20)):
        scores = torch.randn(1, 2, generator=torch.Generator().manual_seed(label))
        loss = cross_entropy(scores, torch.tensor([label]), torch.tensor([100 / 180, 100 / 20]), 0.1)
        plain = F.cross_entropy(scores, torch.tensor([label]), label_smoothing=0.1)
        assert float(loss) == pytest.approx(weight * float(plain), rel=1e-5)
        shares = F.one_hot(torch.tensor([label]), 2).float()
        mixed = cross_entropy(scores, shares, torch.tensor([100 / 180, 100 / 20]), 0.1)
        assert torch.allclose(mixed, loss)
        found.append(loss)
    stage = balanced(Stage(Recipe(balance="loss", label_smoothing=0.1)), labels, 2)
    scores = torch.zeros(100, 2, requires_grad=True)
    for _ in range(300):
        (gradient,) = torch.autograd.grad(stage.loss(lambda x: x, Batch(scores, labels)).sum(), scores)
        scores = (scores - gradient).detach().requires_grad_()
    assert float(scores.detach().softmax(-1)[0, 0]) == pytest.approx(0.95, abs=0.01)
