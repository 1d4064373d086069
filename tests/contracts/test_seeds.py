"""Every draw of every method comes from the run's seed, and torch's own generators are left as they are."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from conftest import METHODS, PROMPTED, make_backbone
from selfprompt.assembly import create_model
from selfprompt.data.datasets import Examples
from selfprompt.methods.recipe import Recipe
from selfprompt.tuning.fit import fit

LORA = {f"tower.backbone.vit.blocks.{i}.attn.qkv.lora_A.default.weight" for i in range(3)}
PLAIN = {"head.linear.weight"}
DRAWN = {
    "apt": {"head.linear.weight", "tower.insertion.prompts", "tower.insertion.down"},
    "e2vpt": {"head.linear.weight", "tower.insertion.prompts", "tower.insertion.key_values"},
    "lora": {"head.linear.weight", *LORA},
}


def start(method: str, seed: int) -> dict[str, Tensor]:
    """All that is trained, as it starts."""
    fields = {"num_prompts": 4} if method in PROMPTED else {}
    model = create_model(make_backbone(), method, num_classes=3, seed=seed, **fields)
    model.initialize([torch.randn(6, 3, 32, 32, generator=torch.Generator().manual_seed(2))], seed=seed)
    return {name: p.detach() for name, p in model.named_parameters() if p.requires_grad}


@pytest.mark.parametrize("method", METHODS)
def test_the_seed_alone_decides_where_a_method_starts(method: str) -> None:
    torch.manual_seed(11)
    one = start(method, 3)
    torch.manual_seed(12)
    again, other = start(method, 3), start(method, 4)
    assert all(torch.equal(value, again[name]) for name, value in one.items())
    differing = {name for name, value in one.items() if not torch.equal(value, other[name])}
    assert differing == DRAWN.get(method, PLAIN | {"tower.insertion.prompts"} if method in PROMPTED else PLAIN)


@pytest.mark.parametrize("method", METHODS)
def test_torchs_own_generator_is_left_as_it_is(method: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (12, 32, 32, 3), dtype=np.uint8)
    examples, backbone = Examples(list(pixels), np.arange(12) % 3), make_backbone()
    torch.manual_seed(11)
    before = torch.get_rng_state()
    fields = {"prompt_dropout": 0.1, "num_prompts": 4} if method in PROMPTED else {}
    model = create_model(backbone, method, num_classes=3, **fields)
    assert torch.equal(torch.get_rng_state(), before)
    fit(model, examples, examples, recipe=Recipe(epochs=2, batch_size=4))
    assert torch.equal(torch.get_rng_state(), before)


def test_a_second_training_starts_from_other_key_values() -> None:
    """E2VPT's rewinding draws all that it trains anew, from the next seed."""
    pixels = np.random.default_rng(0).integers(0, 256, (12, 32, 32, 3), dtype=np.uint8)
    examples = Examples(list(pixels), np.arange(12) % 3)
    model = create_model(make_backbone(), "e2vpt", num_classes=3, num_prompts=4, prune_segments=0.5)
    first = model.insertion.key_values.detach().clone()
    fit(model, examples, None, recipe=Recipe(epochs=2, batch_size=4, lr=1e-12))
    anew = create_model(make_backbone(), "e2vpt", num_classes=3, num_prompts=4, seed=1).insertion.key_values
    assert not torch.allclose(model.insertion.key_values, first, atol=1e-3)
    assert torch.allclose(model.insertion.key_values, anew, atol=1e-6)
