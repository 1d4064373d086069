"""Rescaled prompts: the same outputs when deep, another step size."""

from __future__ import annotations

import pytest
import torch

from conftest import make_backbone
from selfprompt.assembly import create_model
from selfprompt.errors import UserError
from selfprompt.prompts.initialization.base import Prompts
from selfprompt.prompts.initialization.uniform import Uniform


def test_rescaling_sets_the_rms_and_keeps_deep_outputs(images: torch.Tensor) -> None:
    plain = create_model(make_backbone(), "spt", num_classes=3, num_prompts=4)
    scaled = create_model(make_backbone(), "spt", num_classes=3, num_prompts=4, prompt_rms=0.5)
    for model in (plain, scaled):
        model.initialize([images])
    assert torch.allclose(scaled.prompts.square().mean(dim=(1, 2)).sqrt(), torch.full((3,), 0.5))
    assert not torch.allclose(plain.prompts, scaled.prompts)
    assert torch.allclose(plain(images), scaled(images), atol=1e-3)


def test_vpt_starts_within_its_bound() -> None:
    start = Uniform().prepare(make_backbone(), (), 3, 500, seed=0)
    bound = (6 / (3 * 8 * 8 + 32)) ** 0.5
    assert start.values.abs().max() <= bound
    assert start.values.std() == pytest.approx(bound / 3**0.5, rel=0.01)


def test_starting_values_are_never_broadcast() -> None:
    model = create_model(make_backbone(), "vpt", num_classes=3, num_prompts=4)
    with pytest.raises(UserError, match=r"shape \(1, 4, 32\) do not fit prompts of shape \(3, 4, 32\)"):
        model.insertion.start_from(Prompts(torch.zeros(1, 4, 32)))


def test_dropout_is_per_sample_and_only_in_training(images: torch.Tensor) -> None:
    model = create_model(make_backbone(), "vpt", num_classes=3, num_prompts=4, prompt_dropout=0.5)
    model.initialize(seed=0)
    model.prompts.data *= 10
    same = images[:1].expand(4, -1, -1, -1)
    model.train()
    assert not torch.allclose(model(same)[0], model(same)[1], atol=1e-4)
    model.eval()
    assert torch.allclose(model(same)[0], model(same)[1], atol=1e-5)
