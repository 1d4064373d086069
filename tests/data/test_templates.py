"""Templates: soft tokens and masks stand where they are written, and only texts are ever cut."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from selfprompt.backbones.vocabulary import Vocabulary
from selfprompt.data.protocol import TextProtocol
from selfprompt.data.templates import Filled, Reader, Template
from selfprompt.data.views.text import TextView
from selfprompt.errors import UserError
from tiny_models import SPECIAL, WORDS, tokenizer

MASK, SENTINEL = SPECIAL.index("<mask>"), SPECIAL.index("<extra_id_0>")
PLAIN = [word for word in SPECIAL if word != "<extra_id_0>"] + WORDS


def masked() -> Any:
    """A tokenizer with start and end, and no sentinel."""
    made = Tokenizer(models.WordLevel({word: i for i, word in enumerate(PLAIN)}, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)]
    )
    names = dict(zip(("pad_token", "bos_token", "eos_token", "unk_token", "mask_token"), PLAIN))
    return PreTrainedTokenizerFast(tokenizer_object=made, **names)


def spaced() -> Any:
    """A byte-level tokenizer, for which a word after a space is another than one at the beginning."""
    words = ["a", "b", "Ġa", "Ġb", ":", "Ġ:", "Ġ", "<mask>", "<pad>"]
    made = Tokenizer(models.BPE({word: i for i, word in enumerate(words)}, [("Ġ", "a"), ("Ġ", "b"), ("Ġ", ":")]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return PreTrainedTokenizerFast(tokenizer_object=made, mask_token="<mask>", pad_token="<pad>")


READERS = {
    "encoder": Reader(Vocabulary(masked()), "encoder", 40),
    "decoder": Reader(Vocabulary(masked()), "decoder", 40),
    "encoder-decoder": Reader(Vocabulary(tokenizer()), "encoder-decoder", 40),
}


def filled(pattern: str, *texts: str, kind: str = "encoder", limit: int = 40) -> Filled:
    return Template(pattern).fill(texts, READERS[kind], limit)


def words(ids: list[int], kind: str = "encoder") -> list[Any]:
    vocabulary = SPECIAL + WORDS if kind == "encoder-decoder" else PLAIN
    return [i if i < 0 else vocabulary[i] for i in ids]


def test_everything_stands_where_it_is_written() -> None:
    one = filled("{soft:2} {mask} : {text} {soft:1} .", "w1 w2")
    assert words(one.ids) == ["<s>", -1, -2, "<mask>", ":", "w1", "w2", -3, ".", "</s>"]
    assert one.at == 3
    pair = filled("{text} {mask} {text2}", "w1", "w2 w3")
    assert words(pair.ids) == ["<s>", "w1", "<mask>", "w2", "w3", "</s>"]
    assert words(filled("{text} </s> {text2}", "w1", "w2").ids) == ["<s>", "w1", "</s>", "w2", "</s>"]


def test_an_answer_stands_where_the_kind_of_model_gives_it() -> None:
    decoder = filled("{soft:1} {text} is {mask}", "w1 w2", kind="decoder")
    assert words(decoder.ids) == ["<s>", -1, "w1", "w2", "<unk>"]
    assert decoder.at == len(decoder.ids) - 1
    both = filled("{soft:1} {text} {mask}", "w1", kind="encoder-decoder")
    assert words(both.ids, "encoder-decoder") == [-1, "w1", "<extra_id_0>"]
    assert both.at == 1, "after the sentinel in the decoder"
    assert filled("{text}", "w1", kind="encoder-decoder").at == 0


def test_a_word_after_a_space_is_one_after_a_space() -> None:
    reader = Reader(Vocabulary(spaced()), "encoder", 40)
    ids = Template("{soft:1} a {mask}: {text} {text2}").fill(("b", "a b"), reader, 40).ids
    assert reader.vocabulary.tokenizer.convert_ids_to_tokens(ids[1:]) == [
        "Ġa", "<mask>", ":", "Ġb", "Ġa", "Ġb",
    ]  # fmt: skip
    assert reader.vocabulary.tokenizer.convert_ids_to_tokens(reader.vocabulary.of_word("b")) == ["Ġb"]
    assert Template("{text}").fill(("b",), reader, 40).ids == [1]
    assert reader.vocabulary.mask in Template("<mask> {text}").fill(("b",), reader, 40).ids
    assert reader.vocabulary.mask not in Template("{text}").fill(("b <mask>",), reader, 40).ids, (
        "a text has no tokens"
    )


@pytest.mark.parametrize(("between", "kept"), [("</s>", ["</s>"]), ("</s> </s>", ["</s>", "</s>"])])
def test_a_pair_stands_where_one_text_does_as_the_tokenizer_has_pairs(between: str, kept: list[str]) -> None:
    own = masked()
    own.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair=f"<s> $A {between} $B </s>", special_tokens=[("<s>", 1), ("</s>", 2)]
    )
    reader = Reader(Vocabulary(own), "encoder", 40)
    one = Template("{mask} : {text} .").fill(("w1 w2 w3", "w4"), reader, 40)
    assert words(one.ids) == ["<s>", "<mask>", ":", "w1", "w2", "w3", *kept, "w4", ".", "</s>"]
    short = Template("{mask} : {text} .").fill(("w1 w2 w3", "w4"), reader, len(one.ids) - 2)
    assert words(short.ids) == ["<s>", "<mask>", ":", "w1", *kept, "w4", ".", "</s>"]
    plain = Template("{text}").fill(("w1 w2", "w3"), reader, 40)
    assert plain.ids == own("w1 w2", "w3").input_ids


def test_threads_read_with_one_tokenizer() -> None:
    vocabulary = Vocabulary(masked())

    def read(_: int) -> bool:
        return vocabulary.encode("w1<mask>") != vocabulary.encode("w1<mask>", literal=True)

    with ThreadPoolExecutor(4) as threads:
        assert all(threads.map(read, range(4000)))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 30), st.integers(0, 30), st.integers(9, 40))
def test_only_texts_are_cut_the_longer_first(first: int, second: int, limit: int) -> None:
    one = filled("{soft:2} {text} : {mask} {text2}", " ".join(["w1"] * first), " ".join(["w2"] * second), limit=limit)
    found = words(one.ids)
    kept = found.count("w1"), found.count("w2")
    assert [word for word in found if word not in ("w1", "w2")] == ["<s>", -1, -2, ":", "<mask>", "</s>"]
    assert found[one.at] == "<mask>"
    assert sum(kept) == min(first + second, limit - 6)
    if sum(kept) < first + second:
        for own, other, whole in ((0, 1, first), (1, 0, second)):
            assert kept[own] == whole or kept[own] >= kept[other] - 1


@pytest.mark.parametrize(
    ("pattern", "kind", "said"),
    [
        ("{mask} : ", "encoder", r"0 times {text}"),
        ("{text} {text}", "encoder", r"2 times {text}"),
        ("{text} {mask} {mask}", "encoder", r"2 times {mask}"),
        ("{text} {masc}", "encoder", r"has {masc}"),
        ("{mask} {text}", "decoder", r"goes on after {mask}"),
        ("{soft:40} {text}", "encoder", r"42 tokens without a text"),
    ],
)
def test_what_cannot_be_filled_is_refused(pattern: str, kind: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        filled(pattern, "w1", kind=kind)


def test_a_view_refuses_what_is_no_text_and_says_what_it_cuts(caplog: pytest.LogCaptureFixture) -> None:
    view = TextView(Template("{text} {text2}"), READERS["encoder"], 40)
    assert view.accept({"text": "w1", "text2": "w2"}) == view.accept(("w1", "w2"))
    for source, said in ((3, r"no text"), (("w1",) * 18, r"18 texts are given"), (("w1", 2), r"no text")):
        with pytest.raises(UserError, match=said):
            view.accept(source)
    for texts, said in (
        ((" ", " "), r"empty"),
        (("\ud800", "w1"), r"half a character"),
        (("w1",), r"one text, and the template .* takes a pair"),
    ):
        with pytest.raises(UserError, match=said):
            view.read(texts)
    view = TextView(Template("{text}"), READERS["encoder"], 4)
    with caplog.at_level(logging.WARNING, "selfprompt"):
        for _ in range(2):
            view.collate([view.read((text,)) for text in ("w1 w2", "w1 w2 w3")], 2)
    assert [r.getMessage() for r in caplog.records] == ["1 of 2 texts are longer than 4 tokens: their ends are cut."]
    short = TextView(Template("{text} {text2}"), READERS["encoder"], 3)
    with pytest.raises(UserError, match=r"nothing is left of it in 3 tokens: use fewer prompts"):
        short.read(("w1", "w2"))


def test_a_protocol_is_of_its_tokenizer_and_template() -> None:
    with pytest.raises(UserError, match=r"no tokenizer yet"):
        TextProtocol().view()
    fields: list[dict[str, Any]] = [{}, {"template": "{text} ."}, {"max_length": 9}, {"tokenizer": "x"}]
    assert len({TextProtocol(**given).hash for given in fields}) == 4
