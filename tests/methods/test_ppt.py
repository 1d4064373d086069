"""Prompts trained on tasks of raw text, and then on others in the same format (PPT, MetaPT)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers

import selfprompt as sp
from selfprompt.backbones.text import TextBackbone, wrap
from selfprompt.errors import UserError
from selfprompt.inputs import Text
from selfprompt.methods import from_description, make_method
from selfprompt.model import PromptedModel
from tiny_models import SIZE, SPECIAL, make_model

TOLD = ["harbour", "orchard", "glacier", "printer"]
BESIDE = ["ship", "tree", "snow", "page"]
WORDS = [
    *"ABCD",
    *(f"{letter}." for letter in "ABCD"),
    "?",
    "good",
    "bad",
    "yes",
    "no",
    "maybe",
    "one",
    *TOLD,
    *BESIDE,
]
FIRST = sp.Recipe(epochs=8, batch_size=16, lr=0.03, precision="float32")


@pytest.fixture(scope="module")
def backbone() -> TextBackbone:
    known = dict.fromkeys([*SPECIAL, *WORDS])
    vocabulary = {word: i for i, word in enumerate(known)}
    assert len(vocabulary) <= SIZE
    made = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    names = dict(zip(("pad_token", "bos_token", "eos_token", "unk_token", "mask_token"), SPECIAL))
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=made, **names, model_max_length=40)
    return wrap(make_model("BertForMaskedLM"), tokenizer, "tiny")


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Documents each of one topic, which two words tell."""
    rng = np.random.default_rng(0)
    documents = [
        "\n".join(f"One {BESIDE[d % 4]} {TOLD[d % 4]} {rng.choice(['good', 'bad'])} {s}." for s in range(6))
        for d in range(60)
    ]
    (tmp_path / "corpus.txt").write_text("\n\n".join(documents), encoding="utf-8")
    return tmp_path / "corpus.txt"


def model(backbone: TextBackbone, names: Any, method: str = "ppt", **fields: Any) -> PromptedModel:
    return sp.create_model(backbone, method, class_names=list(names), **{"num_prompts": 4, **fields})


def batch(made: PromptedModel, *sources: Any) -> Text:
    view: Any = made.protocol.view()
    return view.collate((view.read(view.accept(source)) for source in sources), len(sources))


def words(made: PromptedModel, *sources: Any) -> list[str]:
    """What the model reads of a text, P where prompts stand, M at the mask."""
    tokenizer = made.backbone.vocabulary.tokenizer
    ids, mask = batch(made, *sources).ids[0].tolist(), made.backbone.vocabulary.mask
    return ["P" if i < 0 else "M" if i == mask else tokenizer.convert_ids_to_tokens(i) for i in ids]


@pytest.mark.parametrize("method", ["ppt", "metapt"])
def test_it_learns_of_documents_that_it_never_saw_and_its_control_does_not(
    backbone: TextBackbone, corpus: Path, method: str, tmp_path: Path
) -> None:
    """And there another run starts: without a step, of the same features."""
    fields = {"template": "{soft} {text}", "answers": "linear"}
    groups = {"groups": 3, "inner_examples": 4, "grouping": "random"} if method == "metapt" else {}
    right = {}
    for control in ("", "&labels=shuffled"):
        data = sp.load_dataset(f"single:{corpus}#words=4{control}")
        first = model(backbone, data.class_names, method, **fields, **groups)
        result = sp.fit(first, data.train, data.val, recipe=FIRST, output_dir=tmp_path / f"first{control}")
        right[control] = result.metrics["val_accuracy"]
    assert right[""] > 80
    assert right["&labels=shuffled"] < 50
    start = str(tmp_path / "first")
    first, then = sp.load(start, backbone=backbone), model(backbone, ["good", "bad"], method, **fields, start=start)
    then.initialize()
    texts = batch(then, "one ship good", "page")
    with torch.no_grad():
        assert torch.equal(then.eval().features(texts), first.features(texts))
    pairs = [("ship good", 0), ("page bad", 1)]
    sp.fit(then, pairs, pairs, recipe=sp.Recipe(epochs=2, batch_size=2, lr=1e-2))
    assert not torch.equal(then.prompts, first.prompts)


def test_formats_give_templates_and_recipes_follow_the_stage(backbone: TextBackbone) -> None:
    assert words(model(backbone, ["yes", "maybe", "no"], format="pairs"), ("ship", "page")) == (
        ["P"] * 4 + ["ship", "M", "page"]
    )
    assert words(model(backbone, ["good", "bad"]), "ship") == ["P"] * 4 + ["ship", "M"]
    own = model(backbone, ["good", "bad"], format="pairs", template="{soft:2} {text} {mask}", num_prompts=None)
    assert words(own, "ship") == ["P", "P", "ship", "M"]
    method = make_method("ppt", format="choice", start="somewhere")
    assert from_description(method.describe()) == method
    for name in ("ppt", "metapt"):
        first, then = (make_method(name, start=start).recipe("unknown") for start in (None, "somewhere"))
        assert (first.lr, first.batch_size) == (0.1, 64)
        assert (then.lr, then.min_lr, then.epochs, then.batch_size) == (0.01, 0.01, 50, 8)
    assert make_method("metapt", meta_order=2).recipe("unknown").precision == "float32"


def test_classes_are_options_and_so_are_texts(backbone: TextBackbone) -> None:
    template = {"template": "{soft} {text} ? {options} {mask}"}
    named = model(backbone, ["good", "bad"], **template)
    assert words(named, "ship") == ["P"] * 4 + ["ship", "?", "A.", "good", "B.", "bad", "M"]
    lettered = model(backbone, "ABC", **template)
    texts = ("ship", "tree", "snow", "page")
    assert words(lettered, texts) == ["P"] * 4 + ["ship", "?", "A.", "tree", "B.", "snow", "C.", "page", "M"]
    long = tuple(" ".join([text] * 30) for text in texts)
    read = words(lettered, long)
    assert len(read) == 40
    assert [word for word in read if word not in texts] == ["P"] * 4 + ["?", "A.", "B.", "C.", "M"]
    assert min(read.count(text) for text in texts) >= 7
    found = [m.backbone.vocabulary.of_word(letter)[0] for m, letter in ((named, "A"), (named, "B"))]
    assert named.head.used.tolist() == found


def test_two_stages_in_the_format_of_choices(backbone: TextBackbone, corpus: Path, tmp_path: Path) -> None:
    data = sp.load_dataset(f"choice:{corpus}#options=2")
    fields = {"template": "{soft} {text} {options} {mask}"}
    first = model(backbone, data.class_names, **fields)
    recipe = sp.Recipe(epochs=1, batch_size=16)
    sp.fit(first, data.train.take(np.arange(16)), None, recipe=recipe, output_dir=tmp_path / "first")
    then = model(backbone, ["good", "bad"], start=str(tmp_path / "first"), **fields)
    pairs = [("ship", 0), ("page", 1)]
    sp.fit(then, pairs, None, recipe=sp.Recipe(epochs=1, batch_size=2), output_dir=tmp_path / "then")
    assert sp.load(tmp_path / "then", backbone=backbone).method.template == then.method.template
    assert {answer["label"] for answer in sp.predict(tmp_path / "then", ["ship"], backbone=backbone)} <= {
        "good",
        "bad",
    }


@pytest.mark.parametrize(
    ("names", "fields", "said"),
    [
        (["good", "bad"], {"label_words": "yes, no"}, "leave label_words out"),
        ([f"class {i}" for i in range(27)], {}, "2 to 26 classes"),
        ([chr(ord("A") + i) for i in range(17)], {}, "16 options"),
        (["good", "{bad}"], {}, "write one of these"),
    ],
)
def test_options_that_cannot_be_are_refused(backbone: TextBackbone, names: Any, fields: dict, said: str) -> None:
    with pytest.raises(UserError, match=said) as refused:
        model(backbone, names, format="choice", **fields)
    assert "\n" not in str(refused.value)
