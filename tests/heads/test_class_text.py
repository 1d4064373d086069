"""Classes as texts: what is kept of them between steps, and for how long."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

import selfprompt as sp
from selfprompt.adapters.kept import WithAdapter
from selfprompt.errors import UserError
from tiny_clip import tiny_clip

CLASSES = ["a bird", "a cat", "a dog"]


def made() -> sp.PromptedModel:
    model = sp.create_model(tiny_clip(), "coop", class_names=CLASSES)
    model.initialize()
    return model


def in_place(model: sp.PromptedModel) -> None:
    with torch.no_grad():
        model.prompts.mul_(3)


def loaded(model: sp.PromptedModel) -> None:
    assert isinstance(model, WithAdapter)
    model.load_adapter_state({name: 3 * value for name, value in model.adapter_state().items()})


def replaced(model: sp.PromptedModel) -> None:
    model.prompts.data = 3 * model.prompts.data


@pytest.mark.parametrize("change", [in_place, loaded, replaced])
def test_frozen_words_are_read_again_once_they_change(change: Callable[[sp.PromptedModel], None]) -> None:
    model, images = made(), torch.randn(4, 3, 32, 32)
    model.requires_grad_(False)
    before = model(images)
    assert torch.equal(model(images), before)
    change(model)
    after = model(images)
    assert not torch.allclose(after, before, atol=1e-3)
    with torch.no_grad():
        assert torch.allclose(model(images), after, atol=1e-5)


def test_words_that_are_trained_later_have_gradients() -> None:
    model, images = made(), torch.randn(4, 3, 32, 32)
    model.requires_grad_(False)
    model(images)
    model.prompts.requires_grad_(True)
    model(images).sum().backward()
    assert model.prompts.grad is not None


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"template": "a photo"}, "must have one {}"),
        ({"template": "a photo of a {}.|"}, "must have one {}"),
        ({"template": "{} and {}"}, "must have one {}"),
        ({"template": "a {soft:2} {}"}, "places for 2 prompts, and there are 0"),
        ({"class_names": ["a cat", " _ "]}, "has no name"),
        ({"class_names": [1, 2]}, "a list of .*names"),
        ({"class_names": "ab"}, "a list of .*names"),
        ({"head_norm": "batch"}, "of a linear head"),
        ({"method": "coop", "frozen_prompts": True}, "leave frozen_prompts out"),
        ({"method": "vpt", "frozen_prompts": True}, "leave frozen_prompts out"),
        ({"method": "coop", "keep": 0.5}, "leave keep out"),
        ({"method": "cocoop", "keep": 0.5}, "leave keep out"),
        ({"method": "coop", "nfl_names": ["a dog", "a cat"]}, "all of these are trained on"),
    ],
)
def test_what_cannot_be_said_or_trained_is_refused(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        sp.create_model(tiny_clip(), **{"method": "zeroshot", "class_names": CLASSES, **fields})


@pytest.mark.parametrize(
    ("names", "said"), [([], "two classes"), (["one"], "two classes"), ("ab", "a list"), ([1, 2], "a list")]
)
def test_names_of_other_classes_are_two_or_more_texts(names: Any, said: str) -> None:
    with pytest.raises(UserError, match=said):
        made().for_classes(names)
