"""A start with the tokens' statistics and without tokens."""

from __future__ import annotations

import pytest
import torch

from conftest import make_backbone
from selfprompt.errors import UserError
from selfprompt.methods import make_method
from selfprompt.prompts.initialization.gaussian import Gaussian


@pytest.fixture
def many() -> torch.Tensor:
    return torch.randn(10, 3, 32, 32, generator=torch.Generator().manual_seed(4))


def test_mean_and_covariance_are_each_layers_tokens(many: torch.Tensor) -> None:
    backbone, tokens = make_backbone(), {}
    backbone.content_streams(many, 3, lambda layer, x, _: tokens.update({layer: x.flatten(0, 1).double()}))
    start = make_method("spt", prototypes="gaussian").initialization()
    drawn = start.prepare(backbone, many.split(4), 3, 40_000, seed=0).values.double()
    for layer, rows in tokens.items():
        scale = rows.var(dim=0).mean()
        assert torch.allclose(drawn[layer].mean(dim=0), rows.mean(dim=0), atol=0.03 * scale.sqrt().item())
        assert torch.allclose(drawn[layer].T.cov(), rows.T.cov(correction=0), atol=0.1 * scale.item())
        assert torch.cdist(drawn[layer][:500], rows).min() > 0.1 * scale.sqrt()  # none of them is a token


def test_batching_does_not_matter_but_the_seed_does(many: torch.Tensor) -> None:
    one, split, other = (
        Gaussian().prepare(make_backbone(), batches, 3, 6, seed).values
        for batches, seed in (([many], 0), (many.split(3), 0), ([many], 1))
    )
    assert torch.allclose(one, split, atol=1e-4)
    assert not torch.allclose(one, other, atol=1e-3)


def test_tokens_that_have_no_covariance_are_refused(many: torch.Tensor) -> None:
    with pytest.raises(UserError, match="give more images"):
        Gaussian().prepare(make_backbone(), [], 3, 6, seed=0)
    with pytest.raises(UserError, match="are NaN or infinite, and no prompt can start from them"):
        Gaussian().prepare(make_backbone(), [many * float("nan")], 3, 6, seed=0)
