"""Analyses of which the answer is known beforehand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from conftest import KINDS, PROMPTED, entering, make_backbone
from selfprompt.analysis import (
    analyse,
    attention,
    effective_prompts,
    leave_one_out,
    mutual_information,
    nearest_patches,
    relevance,
    saliency,
    shared_information,
)
from selfprompt.assembly import create_model
from selfprompt.backbones.base import BlockEdit
from selfprompt.data.batches import Decoded
from selfprompt.data.datasets import Examples, Splits
from selfprompt.errors import UserError
from selfprompt.methods.recipe import Recipe
from selfprompt.model import PromptedModel
from selfprompt.tuning.fit import fit

MARK, SIDE = 6, 4


def started(method: str, kind: str = "class token", **fields: Any) -> PromptedModel:
    model = create_model(make_backbone(kind), method, num_classes=3, num_prompts=4, **fields)
    model.initialize([torch.randn(6, 3, 32, 32, generator=torch.Generator().manual_seed(2))])
    return model.eval()


def marked(count: int, seed: int) -> Examples:
    """Noise, and one patch whose colour is the label."""
    pixels = np.random.default_rng(seed).integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
    labels = np.arange(count) % 2
    row, column = divmod(MARK, SIDE)
    pixels[:, row * 8 : row * 8 + 8, column * 8 : column * 8 + 8] = np.where(
        labels[:, None, None, None], [255, 30, 30], [30, 30, 255]
    )
    return Examples(list(pixels), labels.astype(np.int64))


@pytest.mark.parametrize("method", ["vpt", "spt", "cvpt"])
def test_relevance_points_to_the_patch_that_decides(method: str) -> None:
    model = create_model(make_backbone(), method, num_classes=2, num_prompts=6)
    train, val = marked(96, 0), marked(32, 1)
    result = fit(model, train, val, recipe=Recipe(epochs=15, batch_size=16, optimizer="adamw", lr=3e-2))
    assert result.metrics["val_accuracy"] > 90
    images = model.normalize(Decoded(val, model.protocol).get(np.arange(32)))
    found = relevance(model, images).mean(dim=0)
    assert found.argmax() == MARK
    assert found[MARK] > 2 * found.mean()


@pytest.mark.parametrize("method", ["vpt", "spt"])
def test_the_prompt_that_is_worth_most_looks_at_the_patch_that_decides(method: str) -> None:
    model = create_model(make_backbone(), method, num_classes=2, num_prompts=6, shallow=True)
    train, val = marked(96, 0), marked(32, 1)
    fit(model, train, val, recipe=Recipe(epochs=15, batch_size=16, optimizer="adamw", lr=3e-2))
    images = model.normalize(Decoded(val, model.protocol).get(np.arange(32)))
    best = saliency(model, [(images, torch.from_numpy(val.labels))])[0].argmax()
    looks = torch.stack([weights[:, best].mean(dim=0) for weights in attention(model, images).from_prompts])
    assert looks.mean(dim=0).argmax() == MARK


def test_mutual_information_of_what_shares_nothing_and_of_what_shares_all() -> None:
    patches = 100 * torch.eye(8)[None]  # each patch alone in its direction
    assert mutual_information(patches[0], patches).item() == pytest.approx(1.0, abs=1e-4)
    alike = torch.ones(8, 8)
    assert mutual_information(alike, patches).item() == pytest.approx(0.0, abs=1e-6)
    assert mutual_information(alike[:1], patches).item() == 0.0
    between = mutual_information(torch.cat([patches[0, :4], alike[:4]]), patches).item()
    assert 0.1 < between < 0.9


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", PROMPTED)
def test_the_length_of_prompts_is_no_information(method: str, kind: str, images: torch.Tensor) -> None:
    model = started(method, kind)
    short = torch.stack(shared_information(model, images))
    model.prompts.data *= 20
    long = torch.stack(shared_information(model, images))
    apart = len(short) if method in ("spt", "vpt", "vfpt", "pc", "e2vpt") else 1  # others change the stream behind it
    assert torch.allclose(short[:apart], long[:apart], atol=1e-3)
    assert (short > 1e-6).all()


def test_information_is_of_what_a_block_sees(images: torch.Tensor) -> None:
    """After the norm, in the prompted stream, of the transformed prompts."""
    model = started("vfpt", fourier_share=1.0)
    model.prompts.data *= 5
    backbone, tokens = model.backbone, entering(model.backbone, images)
    with torch.no_grad():
        for i, found in enumerate(shared_information(model, images)):
            norm = backbone.vit.blocks[i].norm1
            seen = norm(torch.fft.fft2(model.prompts[i]).real)
            assert torch.allclose(found, mutual_information(seen, norm(tokens.x[:, 1:])), atol=1e-5)
            edit = BlockEdit(extra_kv=backbone.keys_values(i, torch.fft.fft2(model.prompts[i]).real))
            tokens = backbone.block(i, tokens, edit)


TRAINED = [(method, {}) for method in PROMPTED if method != "pc"] + [("e2vpt", {"prune_segments": 0.5})]


@pytest.mark.parametrize(("method", "fields"), TRAINED)
def test_the_curve_ends_where_the_training_did(method: str, fields: dict, tmp_path: Path) -> None:
    """Snapshots hold masks, gates, keys and values, too; those of a second training take the first one's place."""
    train = marked(12, 0)
    model = create_model(make_backbone(), method, num_classes=2, num_prompts=4, **fields)
    fit(model, train, None, recipe=Recipe(epochs=3, batch_size=4, lr=3e-2), output_dir=tmp_path)
    found = analyse(model, Splits(train, train, train, {}), run=tmp_path)
    assert [row["epoch"] for row in found["training"]] == [0, 1, 2, 3]
    end = [row["mutual_information"] for row in found["layers"] if "mutual_information" in row]
    assert found["training"][-1]["mutual_information"] == pytest.approx(end, abs=1e-6)
    assert found["training"][0]["mutual_information"] != pytest.approx(end, abs=1e-6)
    seed = 1 if fields else 0
    anew = create_model(make_backbone(), method, num_classes=2, num_prompts=4, **fields)
    anew.initialize((model.normalize(b) for b, _ in Decoded(train, model.protocol).batches([np.arange(12)])), seed)
    moved = (model.prompts - anew.prompts).norm(dim=-1) / anew.prompts.norm(dim=-1)
    assert [row["moved"] for row in found["prompts"]] == pytest.approx(moved.flatten().tolist(), rel=1e-3)


def test_a_condensed_run_has_the_curve_of_its_first_training(tmp_path: Path) -> None:
    train = marked(12, 0)
    model = create_model(make_backbone(), "vfpt", num_classes=2, num_prompts=4, keep=0.5)
    fit(model, train, None, recipe=Recipe(epochs=3, batch_size=4, lr=3e-2), output_dir=tmp_path)
    found = analyse(model, Splits(train, train, train, {}), run=tmp_path)
    assert [row["epoch"] for row in found["training"]] == [0, 1, 2]
    (tmp_path / "prompts" / "epoch-0001.safetensors").write_bytes(b"cut")
    with pytest.raises(UserError, match=r"epoch-0001.safetensors is damaged"):
        analyse(model, Splits(train, train, train, {}), run=tmp_path)


def test_a_prompt_is_nearest_to_the_patch_it_came_from(images: torch.Tensor) -> None:
    model = create_model(make_backbone(), "spt", num_classes=3, num_prompts=4)
    model.initialize([images[:3], images[3:]])
    found = nearest_patches(model, [images[:1], images[1:]], count=2)
    assert torch.equal(torch.stack([layer.sources[:, 0] for layer in found]), model.sources)
    assert all(torch.allclose(layer.similarity[:, 0], torch.ones(4), atol=1e-5) for layer in found)
    assert (found[0].sources[:, 0, 0] != found[0].sources[:, 1, 0]).all()  # each from another image


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", PROMPTED)
def test_attention_is_seen_whatever_the_method_and_backbone(method: str, kind: str, images: torch.Tensor) -> None:
    model = started(method, kind)
    expected = model(images)
    found = attention(model, images)
    assert len(found.to_prompts) == model.backbone.depth
    assert all(weights.shape == (4, 4) for weights in found.to_prompts)
    assert all(weights.shape == (4, 16) for weights in found.to_patches)
    if method == "cvpt":  # its prompts are all that the second attention sees
        assert torch.allclose(found.to_prompts[0].sum(dim=-1), torch.ones(4))
    assert relevance(model, images).shape == (4, 16)
    assert model.backbone.watch is None
    assert torch.equal(model(images), expected)


def test_leaving_one_out_changes_nothing_in_the_model(images: torch.Tensor) -> None:
    model = started("spt")
    expected = model(images)
    rises = leave_one_out(model, images, torch.tensor([0, 1, 2, 0]))
    assert rises.shape == (3, 4)
    assert (rises != 0).all()
    assert torch.equal(model(images), expected)
    assert len(effective_prompts(model)) == 3


def test_streams_are_what_self_prompts_are_drawn_from(images: torch.Tensor) -> None:
    model = create_model(make_backbone(), "spt", num_classes=3, num_prompts=4)
    model.initialize([images])

    def offer(layer: int, patches: torch.Tensor, real: torch.Tensor | None) -> None:
        image, position = model.sources[layer].T
        assert torch.allclose(patches[image, position], model.prompts[layer], atol=1e-5)

    model.backbone.content_streams(images, 3, offer)


def test_what_has_no_prompts_is_refused_in_one_sentence(images: torch.Tensor) -> None:
    model = create_model(make_backbone(), "linear", num_classes=3)
    with pytest.raises(UserError, match="linear has no prompts"):
        attention(model, images)
    assert relevance(model, images).shape == (4, 16)
