"""Where self-prompts come from."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from conftest import entering, make_backbone
from selfprompt.errors import UserError
from selfprompt.prompts.initialization.prototypes import Prototypes, Reservoir, window_sizes


def streams(images: torch.Tensor, backbone) -> list[torch.Tensor]:
    """Candidates of every layer, computed the plain way."""
    found = [backbone.content(images)]
    tokens = entering(backbone, images)
    for i in range(backbone.depth - 1):
        tokens = backbone.block(i, tokens)
        found.append(tokens.x[:, tokens.num_prefix :])
    return found


@pytest.fixture
def many() -> torch.Tensor:
    return torch.randn(10, 3, 32, 32, generator=torch.Generator().manual_seed(4))


def test_every_random_prompt_is_the_token_that_it_names(backbone, many: torch.Tensor) -> None:
    start = Prototypes("random").prepare(backbone, many.split(4), backbone.depth, 6, seed=0)
    assert start.values.shape == (3, 6, 32)
    assert start.sources is not None
    for layer, tokens in enumerate(streams(many, backbone)):
        image, position = start.sources[layer].T
        assert torch.allclose(start.values[layer], tokens[image, position], atol=1e-5)
        assert len(set(map(tuple, start.sources[layer].tolist()))) == 6
    assert not torch.equal(start.sources[0], start.sources[1])  # each layer draws for itself


def test_first_layer_has_no_positions(many: torch.Tensor) -> None:
    backbone = make_backbone()
    start = Prototypes("random").prepare(backbone, [many], 1, 6, seed=0)
    embedded = backbone.vit.patch_embed(many).reshape(-1, 32)
    placed = entering(backbone, many).x[:, 1:].reshape(-1, 32)
    for row in start.values[0]:
        assert (embedded == row).all(dim=1).any()
        assert not (placed == row).all(dim=1).any()


@pytest.mark.parametrize("kind", ["random", "mean", "max", "kmeans"])
def test_batching_does_not_matter_but_the_seed_does(kind: str, many: torch.Tensor) -> None:
    backbone = make_backbone()
    prepare = Prototypes(kind).prepare  # type: ignore[arg-type]
    one = prepare(backbone, [many], 3, 6, seed=0).values
    assert torch.allclose(one, prepare(backbone, many.split(5), 3, 6, seed=0).values, atol=1e-4)
    assert not torch.allclose(one, prepare(backbone, [many], 3, 6, seed=1).values, atol=1e-3)


@pytest.mark.parametrize("kind", ["mean", "max"])
def test_pooled_prompts_are_windows_of_one_image(kind: str, many: torch.Tensor) -> None:
    backbone = make_backbone()
    start = Prototypes(kind).prepare(backbone, [many], 1, 4, seed=0)  # type: ignore[arg-type]
    groups = backbone.content(many).split(window_sizes(16, 4), dim=1)
    pooled = torch.stack([g.mean(1) if kind == "mean" else g.amax(1) for g in groups], 1).reshape(-1, 32)
    for row in start.values[0]:
        assert torch.isclose(pooled, row, atol=1e-6).all(dim=1).any()


def test_kmeans_centres_lie_within_the_tokens(many: torch.Tensor) -> None:
    backbone = make_backbone()
    start = Prototypes("kmeans").prepare(backbone, [many], 3, 5, seed=0)
    for layer, tokens in enumerate(streams(many, backbone)):
        flat = tokens.reshape(-1, 32)
        assert (start.values[layer] >= flat.amin(0) - 1e-5).all()
        assert (start.values[layer] <= flat.amax(0) + 1e-5).all()


def test_the_papers_windows() -> None:
    assert window_sizes(196, 20) == [10] * 19 + [6]


@given(st.integers(1, 300), st.data())
def test_windows_cover_an_image_once(patches: int, data: st.DataObject) -> None:
    windows = data.draw(st.integers(1, patches))
    sizes = window_sizes(patches, windows)
    assert len(sizes) == windows
    assert sum(sizes) == patches
    assert min(sizes) >= 1


def test_the_reservoir_is_a_uniform_sample() -> None:
    """Every one of 60 rows is kept equally often: chi-squared over 3,000 streams, with a fixed seed."""
    rows = torch.arange(60.0).reshape(12, 5, 1)
    counts = torch.zeros(60)
    for seed in range(3000):
        reservoir = Reservoir(6, 1, seed)
        for first, batch in zip((0, 4, 8), rows.split(4)):
            reservoir.add(batch, first)
        assert (reservoir.sources[:, 0] * 5 + reservoir.sources[:, 1] == reservoir.tokens[:, 0]).all()
        counts[reservoir.tokens[:, 0].long()] += 1
    expected = 3000 * 6 / 60
    statistic = ((counts - expected) ** 2 / expected).sum().item()
    assert counts.sum() == 3000 * 6
    assert 30 < statistic < 100  # 59 degrees of freedom: about 1 in 1,000 on either side


def test_too_few_tokens_are_refused(many: torch.Tensor) -> None:
    with pytest.raises(UserError, match="161 prompts need as many tokens"):
        Prototypes("random").prepare(make_backbone(), [many], 3, 161, seed=0)
    with pytest.raises(UserError, match="a patch for each prompt"):
        Prototypes("mean").prepare(make_backbone(), [many], 3, 17, seed=0)
