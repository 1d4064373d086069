"""A checkpoint is resumed by the run that left it and by no other; a damaged one is named."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from conftest import held, make_backbone
from selfprompt.assembly import create_model
from selfprompt.data.datasets import Examples
from selfprompt.errors import UserError
from selfprompt.methods.recipe import Recipe
from selfprompt.tuning.checkpoint import NAME
from selfprompt.tuning.fit import Result, fit


def examples(count: int, turned: int = 0) -> Examples:
    pixels = np.random.default_rng(0).integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
    return Examples(list(pixels), (np.arange(count) + turned) % 3)


def train(folder: Path, method: str = "vpt", *, resume: bool = True, kind: int = 0, **other: Any) -> Result:
    """A short run, or another one, in a folder."""
    fields = {"num_prompts": 2} if method != "linear" else {}
    fields |= {key: other.pop(key) for key in ("prompt_dropout", "class_names") if key in other}
    recipe = Recipe(epochs=2, batch_size=4, lr=1e-2).model_copy(update=other.pop("recipe", {}))
    model = create_model(make_backbone(seed=kind), method, num_classes=3, **fields)
    model.protocol = model.protocol.model_copy(update=other.pop("protocol", {}))
    images = {"train": examples(12), "val": examples(6)} | other
    return fit(model, **images, recipe=recipe, output_dir=folder, resume=resume)


@pytest.fixture
def left(tmp_path: Path) -> Path:
    train(tmp_path, resume=False)
    return tmp_path


OTHERS = [
    ({"method": "linear"}, "method vpt, not linear"),
    ({"prompt_dropout": 0.5}, "prompt dropout 0.0, not 0.5"),
    ({"seed": 1}, "seed 0, not 1"),
    ({"recipe": {"epochs": 5}}, "epochs 2, not 5"),
    ({"recipe": {"lr": 0.5}}, "lr 0.01, not 0.5"),
    ({"protocol": {"augmentation": "flip"}}, r"protocol \w+, not \w+"),
    ({"train": examples(15)}, "training images 12, not 15"),
    ({"val": None}, "validation images 6, not 0"),
    ({"train": examples(12, turned=1)}, r"labels \w+, not \w+"),
    ({"class_names": ["a", "b", "c"]}, r"labels \w+, not \w+"),
    ({"kind": 1}, r"backbone \w+, not \w+"),
]


@pytest.mark.parametrize(("other", "sentence"), OTHERS)
def test_another_runs_checkpoint_is_refused(other: dict, sentence: str, left: Path) -> None:
    before = (left / NAME).read_bytes()
    with pytest.raises(UserError, match=f"was trained with {sentence}: choose another output_dir"):
        train(left, **other)
    assert (left / NAME).read_bytes() == before


def test_its_own_checkpoint_and_one_from_before_settings_were_kept_resume(left: Path) -> None:
    log = (left / "log.jsonl").read_bytes()
    steps = []
    train(left, recipe={"compile": True, "checkpointing": True}, on_step=lambda *step: steps.append(step))
    saved = torch.load(left / NAME, weights_only=True)
    del saved["run"]
    torch.save(saved, left / NAME)
    train(left, on_step=lambda *step: steps.append(step))
    assert steps == []  # it was finished
    assert (left / "log.jsonl").read_bytes() == log


def changed(path: Path, **changes: Any) -> None:
    torch.save(torch.load(path, weights_only=True) | changes, path)


def test_a_resumed_run_took_what_it_took_before_it_was_stopped(left: Path) -> None:
    assert torch.load(left / NAME, weights_only=True)["seconds"] > 0
    changed(left / NAME, seconds=5000.0, epoch=1, finished=False)
    assert 5000 < train(left).metrics["seconds"] < 6000
    assert torch.load(left / NAME, weights_only=True)["seconds"] > 5000


DAMAGES = {
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-50]),
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("hello", encoding="utf-8"),
    "folder": lambda path: (path.unlink(), path.mkdir()),
    "pickle": lambda path: path.write_bytes(pickle.dumps({"adapter": {}}, protocol=2)),
    "list": lambda path: torch.save([1], path),
    "other": lambda path: torch.save({"model": {}}, path),
    "more": lambda path: changed(path, more=1),
    "epoch": lambda path: changed(path, epoch="many"),
    "negative": lambda path: changed(path, epoch=-1),
    "no images": lambda path: changed(path, micro_batch=0),
    "accuracy": lambda path: changed(path, best_accuracy="high"),
    "history": lambda path: changed(path, history=None),
    "sources": lambda path: changed(path, sources=torch.zeros(3)),
    "weights": lambda path: changed(path, adapter={}),
    "shape": lambda path: changed(path, best={"head.linear.bias": torch.zeros(7)}),
    "optimizer": lambda path: changed(path, optimizer={}),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_is_named(damage: str, left: Path) -> None:
    DAMAGES[damage](left / NAME)
    with pytest.raises(UserError, match=r"checkpoint\.pt is damaged \(.+\): remove it to start again"):
        train(left)


def test_a_checkpoint_that_lacks_a_field_is_damaged(left: Path) -> None:
    saved = torch.load(left / NAME, weights_only=True)
    del saved["epoch"]
    torch.save(saved, left / NAME)
    with pytest.raises(UserError, match="is damaged"):
        train(left)


def test_two_fits_in_one_folder(tmp_path: Path) -> None:
    with held(tmp_path / "run"), pytest.raises(UserError, match="Another selfprompt is at work in"):
        train(tmp_path / "run", resume=False)
