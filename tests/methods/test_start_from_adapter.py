"""Prompts that start from an adapter's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import selfprompt as sp
from conftest import PROMPTED, make_backbone
from selfprompt.errors import UserError
from selfprompt.model import PromptedModel
from tiny_clip import NAMES, tiny_clip
from tiny_models import known


def seen(seed: int = 2) -> list[torch.Tensor]:
    return [torch.randn(6, 3, 32, 32, generator=torch.Generator().manual_seed(seed))]


def image_model(method: str = "vpt", seed: int = 0, **fields: Any) -> PromptedModel:
    return sp.create_model(make_backbone(seed=seed), method, num_classes=3, **{"num_prompts": 4, **fields})


def saved(model: PromptedModel, folder: Path, shaken: bool = True) -> str:
    """An adapter whose every weight was moved."""
    model.initialize(seen() if model.protocol.inputs == "image" else ())
    with torch.no_grad():
        for i, parameter in enumerate(model.insertion.parameters()):
            parameter += 0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(i))
    model.save_pretrained(folder)
    return str(folder)


@pytest.mark.parametrize("method", PROMPTED)
@torch.no_grad()
def test_without_a_step_it_answers_as_the_adapter(method: str, images: torch.Tensor, tmp_path: Path) -> None:
    """Of whatever the insertion holds; the head is a new one."""
    first = image_model(method)
    start = saved(first, tmp_path)
    model = image_model(method, start=start)
    model.initialize(seen(5), seed=3)
    assert torch.equal(model.eval().features(images), first.eval().features(images))
    assert not torch.equal(image_model(method).features(images), first.features(images))


@torch.no_grad()
def test_prompts_of_one_method_start_anothers_that_meet_tokens_alike(images: torch.Tensor, tmp_path: Path) -> None:
    first = image_model("vpt")
    start = saved(first, tmp_path / "vpt")
    model = image_model("spt", start=start, prompt_rms=0.5)
    model.initialize()
    rms = first.prompts.square().mean(dim=(1, 2), keepdim=True).sqrt()
    assert torch.allclose(model.prompts, first.prompts * 0.5 / rms, atol=1e-6)
    pair = tiny_clip()
    coop = sp.create_model(pair, "coop", class_names=NAMES, num_prompts=4)
    cocoop = sp.create_model(pair, "cocoop", class_names=NAMES, start=saved(coop, tmp_path / "coop"))
    cocoop.initialize()
    assert torch.equal(cocoop.prompts, coop.prompts)
    backbone = known("BertForMaskedLM")[1]
    plain = sp.create_model(backbone, "prompt-tuning", class_names=["good", "bad"], num_prompts=3)
    there = saved(plain, tmp_path / "text")
    ipt = sp.create_model(backbone, "ipt", class_names=["w1", "w2", "w3"], num_prompts=3, start=there)
    ipt.initialize()
    assert torch.equal(ipt.prompts, plain.prompts)
    ipt.save_pretrained(tmp_path / "ipt")
    (tmp_path / "text" / "adapter_config.json").unlink()  # an adapter stands by itself
    assert torch.equal(sp.load(tmp_path / "ipt", backbone=backbone).prompts, plain.prompts)


@pytest.mark.parametrize(
    ("first", "then", "said"),
    [
        ({}, {"seed": 1}, "start from prompts of the same backbone"),
        ({}, {"num_prompts": 5}, r"have the shape \(3, 4, 32\), and \(3, 5, 32\) is wanted.*--num-prompts 4"),
        ({}, {"shallow": True}, "inserted in another way .vpt, Deep, not Shallow"),
        ({}, {"method": "apt"}, "inserted in another way .vpt, Deep, not Beside"),
        ({"method": "vfpt"}, {}, "made of other numbers .vfpt"),
        ({}, {"method": "vfpt"}, "made of other numbers .vpt"),
        ({"method": "e2vpt", "num_key_values": 3}, {"method": "e2vpt"}, "key_values of .* is of another shape"),
    ],
)
def test_prompts_that_do_not_fit_are_refused(first: dict, then: dict, said: str, tmp_path: Path) -> None:
    start = saved(image_model(**first), tmp_path)
    with pytest.raises(UserError, match=said) as refused:
        image_model(**then, start=start).initialize(seen())
    assert "\n" not in str(refused.value)


def test_what_has_no_prompts_to_give_is_refused(tmp_path: Path) -> None:
    linear = sp.create_model(make_backbone(), "linear", num_classes=3)
    linear.save_pretrained(tmp_path / "linear")
    condensed = image_model("vpt")
    condensed.initialize()
    condensed.insertion.condense(torch.ones(3, 4, dtype=torch.bool))
    condensed.save_pretrained(tmp_path / "condensed")
    (tmp_path / "empty").mkdir()
    for name, said in (("linear", "no prompts of images"), ("condensed", "condensed"), ("empty", "is no adapter")):
        with pytest.raises(UserError, match=said):
            image_model(start=str(tmp_path / name)).initialize(seen())


def test_prompts_of_each_class_start_those_of_the_same_classes(tmp_path: Path) -> None:
    pair, fields = tiny_clip(), {"per_class": True, "num_prompts": 4}
    first = sp.create_model(pair, "coop", class_names=NAMES, **fields)
    start = saved(first, tmp_path)
    again = sp.create_model(pair, "coop", class_names=NAMES, start=start, **fields)
    again.initialize()
    assert torch.equal(again.prompts, first.prompts)
    for names in (NAMES[::-1], [*NAMES[:-1], "a photo of all"]):
        other = sp.create_model(pair, "coop", class_names=names, start=start, **fields)
        with pytest.raises(UserError, match="its classes are others, or in another order"):
            other.initialize()


def test_a_run_starts_from_another_run(works, fails, folder: Path, weights: Path, tmp_path: Path) -> None:
    """That it does not fit is said before a folder is made."""
    rest = ["--backbone", weights, "--method", "vpt", "--epochs", 1, "--no-probe", "--num-prompts"]
    works("tune", folder, *rest, 2, "--out", tmp_path / "first")
    said = fails("tune", folder, *rest, 3, "--start", tmp_path / "first", "--out", tmp_path / "second")
    assert "--num-prompts 2" in said
    assert not (tmp_path / "second").exists()
    works("tune", folder, *rest, 2, "--start", tmp_path / "first", "--out", tmp_path / "second", "--lr", 1e-12)
    first, second = (sp.load(tmp_path / name) for name in ("first", "second"))
    assert torch.allclose(first.prompts, second.prompts, atol=1e-6)
