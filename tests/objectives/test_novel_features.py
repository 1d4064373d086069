"""The penalty on texts of further names: its limits, and that a fit is moved by it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import selfprompt as sp
from selfprompt.backbones.open_clip import imagenet_templates
from selfprompt.errors import UserError
from selfprompt.model import PromptedModel
from selfprompt.objectives.novel_features import NovelFeatures
from tiny_clip import examples, started

NOVEL = ("bird", "a cat", "the dog")
HAND = ("a photo of a {}.",)
TEXTS = ("a bad photo of the {}.", "the {}.", *HAND)


@pytest.fixture(autouse=True)
def fewer_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("selfprompt.methods.coop.imagenet_templates", lambda: TEXTS)


def term(model: PromptedModel, names: tuple[str, ...] = NOVEL, **more: Any) -> torch.Tensor:
    return NovelFeatures(**{"names": names, "weight": 1.0, "templates": HAND, **more}).of(model)()


def fitted(method: str = "coop", **fields: Any) -> tuple[PromptedModel, list[dict]]:
    model = started(method, **fields)
    recipe = sp.Recipe(epochs=2, batch_size=8, lr=0.05, optimizer="sgd")
    return model, sp.fit(model, examples(0), None, recipe=recipe).history


def test_it_is_zero_at_the_templates_own_words_and_never_above_two() -> None:
    assert term(started("coop", words="a photo of a")).item() == pytest.approx(0, abs=1e-6)
    for seed in range(5):
        assert 1e-4 < term(started("coop", seed=seed)).item() <= 2
    model = started("coop")
    shuffled = term(model, (NOVEL[2], NOVEL[0], NOVEL[1]))
    assert shuffled.item() == pytest.approx(term(model).item(), abs=1e-6)
    assert term(model, weight=3.0).item() == pytest.approx(3 * term(model).item(), abs=1e-6)
    assert len(imagenet_templates()) == 80
    assert all(text.count("{}") == 1 for text in imagenet_templates())


def test_only_prompts_have_a_gradient_and_the_target_stays() -> None:
    model = started("coop")
    penalty = NovelFeatures(NOVEL, 1.0, HAND).of(model)
    before = penalty()
    before.backward()
    assert {name for name, p in model.named_parameters() if p.grad is not None} == {"head.text.insertion.prompts"}
    model.prompts.data -= 0.1 * model.prompts.grad
    assert penalty().item() < before.item()
    other = started("coop")
    other.prompts.data.copy_(model.prompts)
    assert term(other).item() == pytest.approx(penalty().item(), abs=1e-6)  # though it began elsewhere


@pytest.mark.parametrize("method", ["coop", "subpt"])
def test_without_weight_a_fit_is_plain_and_with_it_further_names_stay(method: str) -> None:
    """Image features are fixed there, and the head is the network."""
    plain, log = fitted(method)
    same, same_log = fitted(method, nfl_names=NOVEL, nfl_weight=0.0)
    held, held_log = fitted(method, nfl_names=NOVEL, nfl_weight=10.0)
    assert torch.allclose(plain.prompts, same.prompts, atol=1e-6)
    assert [row["train_loss"] for row in log] == pytest.approx([row["train_loss"] for row in same_log], rel=1e-5)
    assert term(held, templates=TEXTS).item() < 0.9 * term(plain, templates=TEXTS).item()
    assert held_log != log


def test_resumed_a_penalised_run_ends_the_same(tmp_path: Path) -> None:
    def stop(done: int, total: int, words: str) -> None:
        if done == 4:
            raise KeyboardInterrupt

    def run(name: str, **more: Any) -> PromptedModel:
        model = started("coop", nfl_names=NOVEL)
        recipe = sp.Recipe(epochs=2, batch_size=8, lr=0.05, optimizer="sgd")
        sp.fit(model, examples(0), None, recipe=recipe, output_dir=tmp_path / name, checkpoint_seconds=0, **more)
        return model

    whole = run("whole")
    with pytest.raises(KeyboardInterrupt):
        run("stopped", on_step=stop)
    assert torch.equal(run("stopped", resume=True).prompts, whole.prompts)
    assert sp.load(tmp_path / "whole", backbone=whole.source).method.nfl_names == NOVEL


def test_names_come_out_of_a_file_and_what_cannot_be_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "novel.txt"
    path.write_text("bird\n\n a cat \nthe dog\n", encoding="utf-8")
    assert started("coop", nfl_names=str(path)).method.nfl_names == NOVEL
    for fields, said in (
        ({"nfl_weight": 1.0}, "needs names of further classes"),
        ({"nfl_names": "gone.txt"}, "There is no file gone.txt"),
        ({"nfl_names": "new"}, "use --classes base"),
        ({"nfl_names": NOVEL, "per_class": True}, "say nothing of further names"),
    ):
        with pytest.raises(UserError, match=said):
            started("coop", **fields)
    with pytest.raises(UserError, match="same text"):
        fitted(nfl_names=("bird", "bird"))


def test_further_names_are_those_not_trained_on_or_imagenets_and_texts_end_alike() -> None:
    method = started("coop").method
    asked = method.model_copy(update={"nfl_names": "new"}).for_names(["a cat"], ["bird", "the dog"])
    assert asked.nfl_names == ("bird", "the dog")
    assert asked.for_names(["a cat"]) is asked
    (penalty,) = method.model_copy(update={"nfl_names": "imagenet", "ending": ""}).penalties()
    assert len(set(penalty.names)) == 100
    assert penalty.names[0] == "tench"
    assert not any(text.endswith(".") for text in penalty.templates[:2])
    (penalty,) = asked.penalties()
    assert penalty.templates == TEXTS
