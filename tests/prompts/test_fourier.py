"""VFPT: a share of the prompts is the real part of a Fourier transform."""

from __future__ import annotations

import math

import pytest
import torch

from conftest import KINDS, make_backbone
from selfprompt.assembly import create_model
from selfprompt.prompts.parametrization.fourier import Fourier


def test_it_is_the_cosine_sum() -> None:
    q = torch.randn(3, 4, dtype=torch.float32)
    expected = torch.zeros(3, 4)
    for k in range(3):
        for l in range(4):  # noqa: E741
            angle = torch.tensor([[2 * math.pi * (k * a / 3 + l * b / 4) for b in range(4)] for a in range(3)])
            expected[k, l] = (q * angle.cos()).sum()
    assert torch.allclose(Fourier(1.0)(q), expected, atol=1e-5)
    constant = Fourier(1.0)(torch.full((3, 4), 2.0))
    assert constant[0, 0] == pytest.approx(24)
    assert constant.abs().sum() == pytest.approx(24, abs=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_a_share_of_nothing_is_vpt(kind: str, images: torch.Tensor) -> None:
    plain = create_model(make_backbone(kind), "vpt", num_classes=3, num_prompts=4)
    none = create_model(make_backbone(kind), "vfpt", num_classes=3, num_prompts=4, fourier_share=0)
    half = create_model(make_backbone(kind), "vfpt", num_classes=3, num_prompts=4)
    for model in (plain, none, half):
        model.initialize(seed=0)
    assert torch.equal(plain.features(images), none.features(images))
    assert not torch.allclose(plain.features(images), half.features(images), atol=1e-3)


def test_one_prompt_of_which_half_is_none() -> None:
    assert torch.equal(Fourier(0.5)(torch.ones(1, 4)), torch.ones(1, 4))


def test_the_others_stay_as_they_are() -> None:
    prompts = torch.randn(5, 8)
    made = Fourier(0.5)(prompts)
    assert torch.equal(made[2:], prompts[2:])
    assert not torch.allclose(made[:2], prompts[:2])


def test_gradients_lie_in_the_even_half() -> None:
    q = torch.randn(10, 32, requires_grad=True)
    (Fourier(1.0)(q) * torch.randn(10, 32)).sum().backward()
    mirrored = q.grad.roll((-1, -1), (0, 1)).flip(0, 1)
    assert torch.allclose(q.grad, mirrored, atol=1e-4)
    rank = torch.linalg.matrix_rank(torch.autograd.functional.jacobian(Fourier(1.0), q).reshape(320, 320))
    assert rank == (320 + 4) / 2  # (0 or 5, 0 or 16) are their own mirror images


@pytest.mark.parametrize(("share", "prompts", "count"), [(0.29, 100, 29), (0.7, 90, 63), (0.5, 5, 2), (1 / 3, 9, 3)])
def test_the_share_is_of_the_number_that_was_written(share: float, prompts: int, count: int) -> None:
    values = torch.randn(prompts, 8, generator=torch.Generator().manual_seed(0))
    changed = (Fourier(share)(values) != values).any(dim=-1)
    assert changed.tolist() == [True] * count + [False] * (prompts - count)
