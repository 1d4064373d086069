"""RandAugment, MixUp, CutMix and label smoothing: what they change, and what they leave as it is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import selfprompt as sp
from conftest import make_backbone
from selfprompt.data.batches import Decoded
from selfprompt.errors import UserError
from selfprompt.inputs import Batch
from selfprompt.methods import make_method
from selfprompt.methods.recipe import Recipe
from selfprompt.objectives.labels import Labels
from selfprompt.tuning.mixing import Mixing


def examples() -> sp.Examples:
    pixels = np.random.default_rng(0).integers(0, 256, (12, 32, 32, 3), dtype=np.uint8)
    return sp.Examples(list(pixels), np.arange(12) % 3)


def history(method: str = "linear", protocol: dict[str, Any] | None = None, **recipe: Any) -> list[dict[str, float]]:
    made = sp.create_model(make_backbone(), method, num_classes=3)
    made.protocol = made.protocol.model_copy(update=protocol or {})
    settings = {"epochs": 2, "batch_size": 6, "lr": 1e-2, "precision": "float32"} | recipe
    return sp.fit(made, examples(), examples(), recipe=Recipe(**settings)).history


@pytest.mark.parametrize("kinds", [{"mixup": 0.8}, {"cutmix": 1.0}, {"mixup": 0.8, "cutmix": 1.0}])
def test_labels_are_the_shares_of_what_an_image_shows(kinds: dict[str, float]) -> None:
    images = torch.eye(3)[:, :, None, None].expand(3, 3, 32, 32)  # each class has a channel of its own
    torch.manual_seed(0)
    for _ in range(5):
        mixed, shares = Mixing(Recipe(**kinds), 3)(Batch(images, torch.arange(3)))
        assert torch.allclose(mixed.mean(dim=(2, 3)), shares, atol=1e-6)
        assert torch.allclose(shares.sum(dim=1), torch.ones(3))
        assert shares.max() < 1
        if kinds == {"cutmix": 1.0}:
            assert set(mixed.unique().tolist()) == {0.0, 1.0}


@pytest.mark.parametrize(
    "more",
    [{"mixup": 0.8}, {"cutmix": 1.0}, {"label_smoothing": 0.2}, {"protocol": {"augmentation": "randaugment"}}],
)
def test_each_changes_what_is_trained_on_and_not_how_it_is_scored(more: dict[str, Any]) -> None:
    plain, changed, again = history(lr=1e-30), history(lr=1e-30, **more), history(lr=1e-30, **more)
    assert changed == again
    for row, other in zip(plain, changed):
        assert row["train_loss"] != other["train_loss"]
        assert row["val_loss"] == pytest.approx(other["val_loss"], rel=1e-6)  # fixed features, or none, are the same


def test_smoothing_gives_every_class_a_share() -> None:
    scores, labels = torch.randn(4, 3), torch.tensor([0, 1, 2, 0])
    losses = Labels(0.3)(lambda inputs: scores, Batch(torch.zeros(4), labels))
    shares = 0.7 * F.one_hot(labels, 3) + 0.1
    assert torch.allclose(losses, -(shares * scores.log_softmax(dim=1)).sum(dim=1), atol=1e-6)
    for name in sp.list_methods():
        for stage in make_method(name).stages(Recipe(label_smoothing=0.3, optimizer="sgd")):
            assert stage.loss == Labels(0.3)


def test_draws_of_a_thread_leave_those_of_torch_alone() -> None:
    protocol = sp.Protocol(image_size=32, augmentation="randaugment")
    before = torch.get_rng_state()
    images = Decoded(examples(), protocol, train=True).get(np.arange(12))
    assert torch.equal(torch.get_rng_state(), before)
    plain = Decoded(examples(), protocol).get(np.arange(12))
    assert isinstance(images, torch.Tensor)
    assert isinstance(plain, torch.Tensor)
    assert (images != plain).flatten(1).any(dim=1).sum() > 6


def test_texts_are_not_mixed() -> None:
    with pytest.raises(UserError, match="--mixup mixes images, and texts cannot be mixed: leave it out"):
        Recipe(mixup=0.2).check("text")
    Recipe(label_smoothing=0.1).check("text")


def test_the_command_line_refuses_to_mix_texts(fails) -> None:
    said = fails("tune", "--method", "prompt-tuning", "--cutmix", 1)
    assert "--cutmix mixes images, and texts cannot be mixed: leave it out." in said


@pytest.mark.parametrize(
    ("flag", "fields"), [("--mixup", {"mixup": 1}), ("--label-smoothing", {"label_smoothing": 0.1})]
)
def test_what_mixes_classes_is_refused_where_an_image_may_have_several(flag: str, fields: dict[str, float]) -> None:
    Recipe(**fields).check("image")
    with pytest.raises(UserError, match=f"{flag} is for images of one class each"):
        Recipe(**fields).check("image", several=True)
