"""A fingerprint tells what was loaded: the same on every machine, and never that of other weights."""

from __future__ import annotations

import copy
import hashlib
from typing import Any

import pytest
import torch

import selfprompt as sp
from conftest import make_backbone
from selfprompt.backbones import fingerprints
from selfprompt.backbones.base import Backbone
from selfprompt.backbones.load import load_backbone
from selfprompt.errors import UserError


def published(backbone: Backbone) -> str:
    """The hash that adapters have carried from the first on."""
    digest = hashlib.sha256()
    for name, value in sorted(backbone.state_dict().items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.detach().contiguous().view(-1).numpy().tobytes())
    return digest.hexdigest()


def test_at_its_own_size_it_is_what_adapters_have_always_carried() -> None:
    assert make_backbone().fingerprint() == published(make_backbone()) == make_backbone().fingerprint()


def test_positions_that_differ_in_the_last_bit_once_resized_leave_it(monkeypatch: pytest.MonkeyPatch) -> None:
    own = make_backbone()
    here = load_backbone(own, 64)
    timms = type(own.vit).set_input_size

    def on_another_processor(vit: torch.nn.Module, **sizes: Any) -> None:
        timms(vit, **sizes)
        vit.pos_embed.data = torch.nextafter(vit.pos_embed.data, torch.tensor(9.0))

    monkeypatch.setattr(type(own.vit), "set_input_size", on_another_processor)
    there = load_backbone(own, 64)
    assert not torch.equal(here.vit.pos_embed, there.vit.pos_embed)
    assert here.fingerprint() == there.fingerprint() == own.fingerprint()
    assert published(here) != published(there)


@pytest.mark.parametrize("derive", [lambda b: load_backbone(b, 64), copy.deepcopy, lambda b: b.to(torch.bfloat16)])
def test_what_is_computed_from_the_weights_leaves_it_and_any_other_change_does_not(derive) -> None:
    own = make_backbone().fingerprint()
    backbone = derive(make_backbone())
    assert backbone.fingerprint() == own
    values = backbone.vit.norm.bias.data  # a way of writing that a tensor's version does not count
    values[0], values[1] = values[1].clone(), values[0].clone()
    assert backbone.fingerprint() != own
    values[0], values[1] = values[1].clone(), values[0].clone()
    assert backbone.fingerprint() in (own, fingerprints.digest(backbone))


def test_it_is_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    backbone, made = make_backbone(), []
    digest = fingerprints.digest
    monkeypatch.setattr(fingerprints, "digest", lambda module: made.append(module) or digest(module))
    assert len({backbone.fingerprint() for _ in range(3)}) == len(made) == 1


def test_adapters_of_resized_backbones_load_by_either_hash(tmp_path) -> None:
    model = sp.create_model(make_backbone(), "vpt", num_classes=2, image_size=64, num_prompts=2)
    model.initialize()
    for known in (make_backbone().fingerprint(), published(model.backbone)):
        model.backbone_hash = known
        model.save_pretrained(tmp_path / known)
        assert sp.load(tmp_path / known, make_backbone()).backbone_hash == make_backbone().fingerprint()
    with pytest.raises(UserError, match="the backbone found has"):
        sp.load(tmp_path / known, make_backbone(seed=1))
