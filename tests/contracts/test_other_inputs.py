"""Nothing above the backbones knows of images: a text model goes through tower, head, fit, save and load."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import selfprompt as sp
from selfprompt.assembly import build
from selfprompt.errors import UserError
from selfprompt.inputs import Text, take
from selfprompt.methods import make_method
from selfprompt.model import PromptedModel
from tiny_text import LONGEST, WORDS, Numbers, NumbersView, TinyText

DRIVEN = ["linear", "full", "bias", "vpt", "spt", "vfpt", "pc", "e2vpt", "vpt:shallow", "gatevpt"]


def examples(seed: int, count: int) -> sp.Examples:
    """Texts of several lengths, of two classes that one word tells."""
    rng = np.random.default_rng(seed)
    texts = [rng.integers(2, WORDS, rng.integers(2, LONGEST)).tolist() for _ in range(count)]
    for i, text in enumerate(texts):
        text[int(rng.integers(len(text)))] = i % 2
    return sp.Examples(texts, np.arange(count) % 2)


def batch(seed: int = 3, count: int = 6) -> Text:
    view = NumbersView()
    return view.collate((view.read(text) for text in examples(seed, count).images), count)


def model(name: str, seed: int = 0) -> PromptedModel:
    name, _, shallow = name.partition(":")
    prompted = "num_prompts" in sp.describe(name).factory.model_fields
    fields = {"num_prompts": 3} if prompted else {}
    method = make_method(name, **fields, **({"shallow": True} if shallow else {}))
    return build(method, TinyText(), 2, Numbers(), ["zero", "one"], seed)


@pytest.mark.parametrize("name", DRIVEN)
def test_it_is_fitted_saved_and_loaded(name: str, tmp_path: Path) -> None:
    made, backbone = model(name), TinyText()
    before = backbone.fingerprint()
    recipe = sp.Recipe(epochs=3, batch_size=8, lr=3e-2)
    result = sp.fit(made, examples(0, 48), examples(1, 24), recipe=recipe, output_dir=tmp_path)
    assert result.history[-1]["train_loss"] < result.history[0]["train_loss"]
    back = sp.load(tmp_path, backbone=backbone)
    assert isinstance(back.protocol, Numbers)
    assert back.protocol.hash == made.protocol.hash
    with torch.no_grad():
        assert torch.allclose(back(batch()), made.eval()(batch()), atol=1e-6)
    assert backbone.fingerprint() == before


@pytest.mark.parametrize("name", DRIVEN)
def test_a_padded_batch_answers_as_single_texts(name: str) -> None:
    made = model(name).eval()
    made.initialize([batch(5)])
    texts = batch()
    with torch.no_grad():
        single = []
        for i in range(len(texts.ids)):
            one = take(texts, slice(i, i + 1))
            length = int(one.at) + 1
            single.append(made(Text(one.ids[:, :length], one.mask[:, :length], one.at)))
        assert torch.allclose(made(texts), torch.cat(single), atol=1e-5)


def test_without_prompts_it_is_the_models_own_output() -> None:
    backbone, texts = TinyText(), batch()
    x = backbone.words(texts.ids) + backbone.places.weight[:LONGEST]
    for block in backbone.blocks:
        q, k, v = block.split(block.norm1(x))
        free = torch.ones(LONGEST, LONGEST, dtype=torch.bool).tril() & texts.mask[:, None, None]
        out = torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=free)
        x = x + block.out(out.transpose(1, 2).flatten(2))
        x = x + block.mlp(block.norm2(x))
    expected = backbone.norm(x)[torch.arange(len(x)), texts.at]
    assert torch.allclose(model("linear").features(texts), expected, atol=1e-5)


@pytest.mark.parametrize("name", ["apt", "cvpt"])
def test_what_acts_inside_a_block_is_refused_where_there_is_no_inside(name: str) -> None:
    made = model(name)
    made.initialize([batch()])
    with pytest.raises(UserError, match=r"tiny text"):
        made(batch())


def test_a_run_goes_on_after_a_stop(tmp_path: Path) -> None:
    recipe = sp.Recipe(epochs=4, batch_size=8, lr=3e-2)
    whole = model("pc")
    sp.fit(whole, examples(0, 32), examples(1, 16), recipe=recipe, output_dir=tmp_path / "whole", seed=2)

    class Stop(Exception):
        pass

    def stop(done: int, steps: int, words: str) -> None:
        if done == 5:
            raise Stop

    half = model("pc")
    with pytest.raises(Stop):
        sp.fit(
            half, examples(0, 32), examples(1, 16), recipe=recipe, output_dir=tmp_path / "half", seed=2, on_step=stop
        )
    again = model("pc")
    sp.fit(again, examples(0, 32), examples(1, 16), recipe=recipe, output_dir=tmp_path / "half", seed=2, resume=True)
    assert all(torch.equal(v, again.adapter_state()[k]) for k, v in whole.adapter_state().items())
