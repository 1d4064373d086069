"""Tests check the shapes that annotations name; a tensor of another is an error where it is handed over."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from jaxtyping import TypeCheckError

from conftest import make_backbone
from selfprompt.backbones.base import Tokens, insert
from selfprompt.heads.linear import LinearHead
from selfprompt.objectives.labels import cross_entropy
from selfprompt.prompts.initialization.base import Prompts
from selfprompt.prompts.insertion.deep import Deep
from selfprompt.prompts.parametrization.fourier import Fourier

WRONG: dict[str, Callable[[], object]] = {
    "features of every token": lambda: LinearHead(4, 3)(torch.zeros(2, 5, 4)),
    "a stream without samples": lambda: Tokens(torch.zeros(5, 4)),
    "a mask of other tokens": lambda: Tokens(torch.zeros(2, 5, 4), mask=torch.ones(2, 4, dtype=torch.bool)),
    "one vector for prompts": lambda: insert(Tokens(torch.zeros(2, 5, 4)), torch.zeros(4)),
    "labels of other samples": lambda: cross_entropy(torch.zeros(2, 3), torch.zeros(3, dtype=torch.long)),
    "starts of one layer": lambda: Prompts(torch.zeros(2, 4)),
    "which prompts are kept, as numbers": lambda: Deep(2, 3, 4).condense(torch.zeros(2, 3)),
    "whole numbers as prompts": lambda: Fourier(0.5)(torch.zeros(3, 4, dtype=torch.long)),
    "keys of one head": lambda: make_backbone().cross_attention(0, torch.zeros(2, 5, 32), (torch.zeros(3, 16),) * 2),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_shape_is_an_error(what: str) -> None:
    with pytest.raises(TypeCheckError):
        WRONG[what]()
