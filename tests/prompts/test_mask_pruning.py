"""E2VPT's pruning: masks over tokens and segments, shared by all layers, and a second training."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from conftest import make_backbone
from selfprompt.assembly import create_model, load
from selfprompt.data.datasets import Examples
from selfprompt.errors import UserError
from selfprompt.inputs import Batch
from selfprompt.methods.recipe import Recipe
from selfprompt.model import PromptedModel
from selfprompt.objectives.labels import Labels
from selfprompt.prompts.condensation.mask_pruning import MaskPruning, largest
from selfprompt.prompts.parametrization.masked import Masked
from selfprompt.tuning.fit import fit


def masked(**fields: Any) -> PromptedModel:
    model = create_model(make_backbone(), "e2vpt", num_classes=3, num_prompts=5, prune_tokens=0.4, **fields)
    model.initialize(seed=0)
    model.prompts.data *= 5
    return model.eval()


def test_masks_of_one_change_nothing(images: torch.Tensor) -> None:
    plain = create_model(make_backbone(), "e2vpt", num_classes=3, num_prompts=5)
    plain.initialize(seed=0)
    plain.prompts.data *= 5
    assert torch.equal(plain.features(images), masked().features(images))


def test_a_segment_owns_every_sixteenth_channel() -> None:
    masks = Masked(5, 32)
    masks.segments.data[2, 3] = 0
    changed = masks(torch.ones(5, 32)) == 0
    assert changed.nonzero().tolist() == [[2, 3], [2, 19]]
    with pytest.raises(UserError, match="width 30 cannot be cut into 16"):
        Masked(5, 30)


def test_importance_is_the_gradient_of_the_mask(images: torch.Tensor) -> None:
    model, labels = masked(), torch.tensor([0, 1, 2, 0])
    masks = model.insertion.parametrization
    (gradient,) = torch.autograd.grad(F.cross_entropy(model(images), labels), masks.tokens)
    with torch.no_grad():
        masks.tokens[1] += 1e-2
        up = F.cross_entropy(model(images), labels)
        masks.tokens[1] -= 2e-2
        down = F.cross_entropy(model(images), labels)
        masks.tokens[1] += 1e-2
    assert gradient[1].item() == pytest.approx(((up - down) / 2e-2).item(), rel=0.05, abs=1e-4)

    for importance, order in (("signed", gradient), ("abs", gradient.abs())):
        model = masked()
        losses = partial(Labels(), model)
        batches = [Batch(images, labels)]
        MaskPruning(0.4, 0.9, importance).apply(model.insertion, model.backbone, losses, batches)
        kept = model.insertion.parametrization
        assert torch.equal(kept.tokens, largest(order, 3))
        assert (kept.segments.sum(dim=1) == 4).all()  # four of sixteen stay, whatever the share
        model(images).sum().backward()
        assert kept.tokens.grad is None


def test_the_second_training_starts_anew_with_the_masks_fixed(tmp_path: Path, images: torch.Tensor) -> None:
    pixels = torch.randint(0, 256, (12, 32, 32, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    examples = Examples(list(pixels.numpy()), torch.arange(12).remainder(3).numpy())
    model = create_model(make_backbone(), "e2vpt", num_classes=3, num_prompts=5, prune_tokens=0.4, prune_segments=0.5)
    result = fit(model, examples, examples, recipe=Recipe(epochs=2, batch_size=4, lr=1e-12), output_dir=tmp_path)
    masks = model.insertion.parametrization
    assert masks.tokens.tolist().count(1.0) == 3
    assert (masks.segments.sum(dim=1) == 8).all()
    assert len(result.history) == result.metrics["epochs"] == 4
    free = 3 * 5 * 32 + 3 * 32 + 3  # keys and values, and the head
    assert model.count_parameters()[0] == result.metrics["trainable_parameters"] == 3 * 3 * 16 + free
    anew = create_model(make_backbone(), "e2vpt", num_classes=3, num_prompts=5)
    anew.initialize(seed=1)
    assert torch.allclose(model.prompts, anew.prompts, atol=1e-6)
    assert torch.equal(load(tmp_path, backbone=make_backbone())(images), model(images))


def test_stopped_in_the_second_training_it_ends_the_same(tmp_path: Path, images: torch.Tensor) -> None:
    pixels = torch.randint(0, 256, (12, 32, 32, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    examples = Examples(list(pixels.numpy()), torch.arange(12).remainder(3).numpy())
    steps = 0

    def on_step(done: int, total: int, words: str) -> None:
        nonlocal steps
        steps += 1
        if steps == 8:
            raise KeyboardInterrupt

    def run(folder: Path, **more: Any) -> PromptedModel:
        model = create_model(make_backbone(), "e2vpt", num_classes=3, num_prompts=5, prune_segments=0.5)
        recipe = Recipe(epochs=2, batch_size=4, lr=1e-2)
        fit(model, examples, examples, recipe=recipe, output_dir=folder, checkpoint_seconds=0, **more)
        return model

    straight = run(tmp_path / "straight")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "stopped", on_step=on_step)
    assert torch.equal(run(tmp_path / "stopped", resume=True)(images), straight(images))


def test_pruned_and_condensed_is_refused() -> None:
    with pytest.raises(UserError, match="not both"):
        masked(keep=0.5)


def test_the_share_is_of_the_number_that_was_written(images: torch.Tensor) -> None:
    model = create_model(make_backbone(), "e2vpt", num_classes=3, num_prompts=50, prune_tokens=0.58)
    model.initialize(seed=0)
    batches = [Batch(images, torch.tensor([0, 1, 2, 0]))]
    MaskPruning(0.58, 0.0).apply(model.insertion, model.backbone, partial(Labels(), model), batches)
    assert model.insertion.parametrization.tokens.count_nonzero() == 50 - 29
