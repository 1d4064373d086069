"""Methods on language models: fitted on strings, saved, loaded, asked; deep methods need no line of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import selfprompt as sp
from selfprompt.backbones.text import wrap
from selfprompt.data.protocol import TextProtocol
from selfprompt.errors import UserError
from selfprompt.inputs import Text, take
from selfprompt.methods import make_method
from selfprompt.model import PromptedModel
from tiny_models import DEEP, WORDS, known, make_model, tokenizer

BERT, T5, LLAMA = "BertForMaskedLM", "T5ForConditionalGeneration", "LlamaForCausalLM"
NAMES = ["good", "bad"]
TOPICS = WORDS[6:]

MODELS: dict[str, tuple[str, str, dict[str, Any]]] = {
    **{name: (BERT, name, {}) for name in ("linear", "full", "bias", "lntune")},
    **{name: (BERT, name, {"num_prompts": 3}) for name in ("vpt", "spt", "e2vpt", "vfpt", "pc", "prefix")},
    "subspace": (BERT, "vpt", {"num_prompts": 3, "subspace": "early"}),
    "grouped heads": (LLAMA, "e2vpt", {"num_prompts": 3}),
    "prompt-tuning": (BERT, "prompt-tuning", {"template": "{soft:2} {mask} : {text} {soft:1}"}),
    "of an encoder-decoder": (T5, "prompt-tuning", {"num_prompts": 3}),
    "of a decoder": (LLAMA, "prompt-tuning", {"num_prompts": 3, "calibrate": True}),
    "with a linear head": (BERT, "prompt-tuning", {"template": "{soft:3} {text}", "answers": "linear"}),
    "ipt": (BERT, "ipt", {"num_prompts": 3}),
    "ipt by a table": (BERT, "ipt", {"num_prompts": 3, "instance": "table"}),
    "ipt's prefix": (LLAMA, "prefix", {"num_prompts": 3, "instance": "table"}),
    "ipt of narrow words": ("AlbertForMaskedLM", "prefix", {"num_prompts": 3, "instance": "bottleneck"}),
    "in a subspace": (BERT, "prompt-tuning", {"num_prompts": 3, "subspace": "random", "subspace_rank": 40}),
    "narrow words": ("AlbertForMaskedLM", "prompt-tuning", {"num_prompts": 3, "start_from": "random"}),
    "words of deep ones": (BERT, "prefix", {"num_prompts": 3, "answers": "words", "template": "{text} {mask}"}),
    "words and prototypes": (BERT, "prompt-tuning", {"num_prompts": 3, "prototypes": "random"}),
}


def examples(seed: int, count: int) -> sp.Examples:
    """Texts of several lengths, of two classes that one word tells."""
    rng = np.random.default_rng(seed)
    texts = []
    for i in range(count):
        words = rng.choice(TOPICS[2:], rng.integers(2, 8)).tolist()
        words[int(rng.integers(len(words)))] = TOPICS[i % 2]
        texts.append(" ".join(words))
    return sp.Examples(texts, np.arange(count) % 2)


def model(name: str, seed: int = 0) -> PromptedModel:
    family, method, fields = MODELS[name]
    return sp.create_model(known(family)[1], method, class_names=NAMES, seed=seed, **fields)


def batch(made: PromptedModel, seed: int = 3, count: int = 5) -> Text:
    view: Any = made.protocol.view()
    return view.collate((view.read(view.accept(text)) for text in examples(seed, count).images), count)


@pytest.mark.parametrize("name", MODELS)
def test_it_is_fitted_on_strings_saved_loaded_and_asked(name: str, tmp_path: Path) -> None:
    made, backbone = model(name), known(MODELS[name][0])[1]
    before = backbone.fingerprint()
    recipe = sp.Recipe(epochs=3, batch_size=8, lr=3e-2)
    result = sp.fit(made, examples(0, 32), examples(1, 8), recipe=recipe, output_dir=tmp_path)
    assert result.history[-1]["train_loss"] < result.history[0]["train_loss"]
    assert backbone.fingerprint() == before
    back = sp.load(tmp_path, backbone=backbone)
    assert back.protocol.hash == made.protocol.hash
    texts = examples(4, 5).images
    with torch.no_grad():
        expected = made.eval()(batch(made, 4))
        assert torch.allclose(back(batch(made, 4)), expected, atol=1e-6)
    answers = sp.predict(tmp_path, texts, backbone=backbone)
    assert [answer["label"] for answer in answers] == [NAMES[i] for i in expected.argmax(dim=1)]
    assert [answer["text"] for answer in answers] == texts


@pytest.mark.parametrize("name", MODELS)
@torch.no_grad()
def test_a_padded_batch_answers_as_single_texts_and_prompts_matter(name: str) -> None:
    made = model(name).eval()
    made.initialize([batch(made, 5)])
    texts = batch(made)
    out = made(texts)
    single = torch.cat([made(take(texts, slice(i, i + 1))) for i in range(len(texts.ids))])
    assert torch.allclose(out, single, atol=1e-5)
    if made.prompts is not None:
        made.prompts.add_(torch.randn(made.prompts.shape, generator=torch.Generator().manual_seed(0)))
        assert not torch.allclose(made(texts), out, atol=1e-4)
        with made.folded():
            assert torch.allclose(made(texts), made(texts), atol=1e-6)


@pytest.mark.parametrize("family", [BERT, LLAMA])
def test_free_keys_and_values_are_the_models_own_past(family: str) -> None:
    """P-tuning v2's form: a cache, with the positions of the text kept."""
    import transformers

    own, backbone = known(family)
    made = sp.create_model(backbone, "prefix", num_classes=2, num_prompts=3)
    made.initialize()
    texts = batch(made)
    ours = made.backbone.run(texts, made.insertion).x[texts.mask]
    heads, width, count = backbone.num_heads, backbone.head_width, len(texts.ids)
    split = made.prompts.unflatten(-1, (2, heads, width)).permute(2, 0, 3, 1, 4)  # keys or values, then layers
    past = [tuple(part.expand(count, -1, -1, -1) for part in layer) for layer in zip(*split)]
    cache = transformers.DynamicCache(ddp_cache_data=past)
    mask = torch.cat([torch.ones(count, 3, dtype=torch.long), texts.mask.long()], dim=1)
    places = torch.arange(texts.ids.shape[1])[None]
    theirs = own.base_model(input_ids=texts.ids, attention_mask=mask, position_ids=places, cache=cache)[0][texts.mask]
    assert torch.allclose(ours, theirs, atol=1e-5)
    gradients = [torch.autograd.grad(x.square().sum(), made.prompts)[0] for x in (ours, theirs)]
    assert (gradients[0] - gradients[1]).norm() <= 1e-4 * gradients[1].norm()


def test_starts_are_lesters() -> None:
    backbone = known(BERT)[1]

    def start(kind: str, count: int) -> torch.Tensor:
        fields = {"start_from": kind, "num_prompts": count, "label_words": "good|fine w1, bad"}
        made = sp.create_model(backbone, "prompt-tuning", class_names=["plus", "minus"], **fields)
        made.initialize()
        return made.prompts.detach()[0]

    words = backbone.trunk.get_input_embeddings().weight
    vocabulary = backbone.vocabulary
    labels = [words[vocabulary.of_word(word)].mean(dim=0) for word in ("good", "fine w1", "bad")]
    assert torch.allclose(start("labels", 5)[:3], torch.stack(labels), atol=1e-6)
    assert torch.equal(start("labels", 2), start("labels", 5)[:2])
    sampled = start("vocabulary", 30)
    found = [int((words == row).all(dim=1).nonzero()[0, 0]) for row in sampled]
    assert len(set(found)) == 30
    assert not set(found) & set(tokenizer().all_special_ids)
    assert start("random", 50).abs().max() <= 0.5


def test_prototypes_of_words_are_words_that_stand_in_a_text() -> None:
    made = model("words and prototypes")
    texts = batch(made, 5)
    made.initialize([texts])
    for row, (text, place) in zip(made.prompts[0], made.sources[0].tolist()):
        assert texts.ids[text, place] >= 0
        assert texts.mask[text, place]
        assert torch.equal(row, made.backbone.vectors([int(texts.ids[text, place])])[0])


def test_a_run_goes_on_after_a_stop(tmp_path: Path) -> None:
    class Stop(Exception):
        pass

    def stop(done: int, steps: int, words: str) -> None:
        if done == 3:
            raise Stop

    recipe = sp.Recipe(epochs=2, batch_size=8, lr=3e-2)
    rest: dict[str, Any] = {"recipe": recipe, "seed": 2}
    whole, half, again = (model("prompt-tuning") for _ in range(3))
    sp.fit(whole, examples(0, 32), examples(1, 8), **rest)
    with pytest.raises(Stop):
        sp.fit(half, examples(0, 32), examples(1, 8), output_dir=tmp_path, on_step=stop, **rest)
    sp.fit(again, examples(0, 32), examples(1, 8), output_dir=tmp_path, resume=True, **rest)
    assert all(torch.equal(v, again.adapter_state()[k]) for k, v in whole.adapter_state().items())


def test_a_folder_is_found_again(tmp_path: Path) -> None:
    make_model(BERT).save_pretrained(tmp_path / "model")
    tokenizer().save_pretrained(tmp_path / "model")
    made = sp.create_model(f"text:{tmp_path / 'model'}", "prefix", num_classes=2, num_prompts=2)
    made.initialize()
    made.save_pretrained(tmp_path / "adapter")
    back = sp.load(tmp_path / "adapter")
    texts = batch(made)
    assert torch.equal(back(texts), made.eval()(texts))
    plain = sp.create_model(known(BERT)[1], "linear", num_classes=2)
    assert not torch.allclose(back.features(texts), plain.features(texts), atol=1e-3)


def test_pairs_of_texts(tmp_path: Path) -> None:
    fields = {"template": "{soft:2} {text} {mask} {text2}"}
    made = sp.create_model(known(BERT)[1], "prompt-tuning", class_names=NAMES, **fields)
    pairs = [("w1 w2", "w3"), ("w4", "w5 w6")] * 4
    sp.fit(made, list(zip(pairs, [0, 1] * 4)), None, recipe=sp.Recipe(epochs=1, batch_size=4), output_dir=tmp_path)
    assert len(sp.predict(tmp_path, pairs, backbone=known(BERT)[1])) == 8


REFUSED = [
    ({"method": "prompt-tuning", "template": "{text} {mask}"}, r"no {soft}"),
    ({"method": "prompt-tuning", "template": "{soft:3} {text}"}, r"no {mask}"),
    ({"method": "prompt-tuning", "template": "{soft:3} {text} {mask}", "num_prompts": 4}, r"has 3 prompts"),
    ({"method": "prompt-tuning", "label_words": "good|fine"}, r"1 of 2 classes"),
    ({"method": "prompt-tuning", "class_names": None, "num_classes": 2}, r"give the classes' names"),
    ({"method": "prompt-tuning", "keep": 0.5}, r"leave keep out"),
    ({"method": "prompt-tuning"}, r"101 tokens without a text"),
    ({"method": "vpt", "protocol": TextProtocol(template="{soft:2} {text}")}, r"no prompts among words"),
    ({"method": "vpt", "protocol": TextProtocol(tokenizer="another")}, r"another than that of the protocol"),
    ({"method": "prefix", "protocol": TextProtocol(template="{text} .")}, r"give it to the method"),
    ({"method": "vpt", "shallow": True}, r"keeps its length"),
    ({"method": "gatevpt"}, r"keeps its length"),
    ({"method": "apt"}, r"use another method"),
    ({"method": "cvpt"}, r"prompt-tuning"),
    ({"method": "vpt", "readout": "mae_average"}, r"leave --readout out"),
    ({"method": "vpt", "image_size": 32}, r"leave --image-size out"),
    ({"method": "coop"}, r"backbone with texts"),
]


@pytest.mark.parametrize(("fields", "said"), REFUSED)
def test_what_does_not_fit_is_refused_in_a_sentence(fields: dict[str, Any], said: str) -> None:
    fields = {"class_names": NAMES, **fields}

    def run() -> None:
        made = sp.create_model(known(BERT)[1], **fields)
        made.initialize([batch(made)])
        made(batch(made))

    with pytest.raises(UserError, match=said) as refused:
        run()
    assert "\n" not in str(refused.value)


def test_texts_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    made, backbone = model("prefix"), known(BERT)[1]
    with pytest.raises(UserError, match=r"Text 1: it is empty"):
        sp.fit(made, sp.Examples(["w1", " "], [0, 1]), None, recipe=sp.Recipe(epochs=1))
    made.initialize()
    made.save_pretrained(tmp_path)
    answers = sp.predict(tmp_path, ["w1", ""], backbone=backbone)
    assert "Text number 1: it is empty" in answers[1]["error"]
    with pytest.raises(UserError, match=r"There are no texts: give strings"):
        sp.predict(tmp_path, [], backbone=backbone)


def test_models_and_methods_that_belong_elsewhere_are_refused(tmp_path: Path) -> None:
    from conftest import make_backbone

    with pytest.raises(UserError, match=r"is for texts"):
        sp.create_model(make_backbone(), "prefix", num_classes=2)
    with pytest.raises(UserError, match=r"protocol is of texts"):
        sp.create_model(make_backbone(), "vpt", num_classes=2, protocol=TextProtocol())
    with pytest.raises(UserError, match=r"needs its tokenizer"):
        sp.create_model(known(BERT)[0], "vpt", num_classes=2)
    for name, said in ((f"text:{tmp_path / 'none'}", r"no folder"), (f"text:{tmp_path}", r"cannot be loaded")):
        with pytest.raises(UserError, match=said):
            sp.create_model(name, "vpt", num_classes=2)
    other = make_model(BERT)
    other.config.pad_token_id = 7
    with pytest.raises(UserError, match=r"pads with the token 0 and .* with 7: give the model's own"):
        wrap(other, tokenizer())
    headless = wrap(make_model(BERT).bert, tokenizer())
    made = sp.create_model(headless, "prompt-tuning", class_names=NAMES, num_prompts=2)
    with pytest.raises(UserError, match=r"no language-model head"):
        made(batch(made))


def test_every_method_for_texts_names_its_paper() -> None:
    names = [name for name in sp.list_methods() if make_method(name).texts]
    assert names == ["ipt", "metapt", "ppt", "prefix", "prompt-tuning"]
    assert set(DEEP) >= {BERT, T5, LLAMA}
