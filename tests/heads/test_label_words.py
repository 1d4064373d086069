"""Label words: what a class is answered with."""

from __future__ import annotations

import pytest
import torch

from selfprompt.backbones.vocabulary import Vocabulary
from selfprompt.errors import UserError
from selfprompt.heads.label_words import LabelWords
from selfprompt.methods import make_method, read_spec
from tiny_models import SIZE, SPECIAL, WORDS, tokenizer

KNOWN = SPECIAL + WORDS
NAMES = ["plus", "minus"]
SCORES = torch.randn(5, SIZE, generator=torch.Generator().manual_seed(0))


def head(plus: tuple[str, ...], minus: tuple[str, ...], calibrated: bool = False) -> LabelWords:
    return LabelWords(NAMES, {"minus": minus, "plus": plus}, Vocabulary(tokenizer()), calibrated)


def of(word: str) -> torch.Tensor:
    return SCORES[:, KNOWN.index(word)]


def test_a_class_is_the_mean_of_its_words_and_a_word_of_its_tokens() -> None:
    scores = head(("good", "fine w1"), ("bad",))(SCORES)
    assert torch.allclose(scores[:, 0], (of("good") + (of("fine") + of("w1")) / 2) / 2, atol=1e-6)
    assert torch.equal(scores[:, 1], of("bad"))


def test_a_calibrated_head_answers_a_text_that_says_nothing_with_even_odds() -> None:
    made = head(("good",), ("bad",), calibrated=True)
    before = made(SCORES)
    made.calibrate(SCORES[:1])
    assert torch.allclose(made(SCORES[:1]).softmax(-1), torch.full((1, 2), 0.5), atol=1e-6)
    difference = before - made(SCORES)
    assert torch.allclose(difference, difference[:1].expand(5, -1), atol=1e-5)
    assert set(made.state_dict()) == {"offset"}
    assert not head(("good",), ("bad",)).state_dict()


def test_for_other_classes_their_names_are_the_words() -> None:
    plain = LabelWords(["good", "bad"], {"good": ("good",), "bad": ("bad",)}, Vocabulary(tokenizer()))
    assert torch.equal(plain.for_classes(["w1", "w2", "w3"])(SCORES)[:, 2], of("w3"))
    with pytest.raises(UserError, match=r"words of their own"):
        head(("good",), ("bad",)).for_classes(["w1", "w2"])


@pytest.mark.parametrize(
    ("plus", "minus", "said"),
    [
        (("unheard",), ("bad",), r"'unheard' is no token.*single:CORPUS#without=unheard"),
        ((" ",), ("bad",), r"is no token"),
        ((), ("bad",), r"'plus' has no label words"),
        (("good bad",), ("bad good",), r"'plus' and 'minus' have the same"),
    ],
)
def test_words_that_tell_nothing_are_refused(plus: tuple[str, ...], minus: tuple[str, ...], said: str) -> None:
    with pytest.raises(UserError, match=said):
        head(plus, minus)


def test_words_are_of_the_classes() -> None:
    with pytest.raises(UserError, match=r"differ in 'minus'"):
        LabelWords(["plus"], {"plus": ("good",), "minus": ("bad",)}, Vocabulary(tokenizer()))


def test_words_are_given_by_the_names_of_classes() -> None:
    named = make_method("prompt-tuning", label_words="pos = great|good, neg=bad")
    assert named.for_names(["neg", "pos"]).describe()["label_words"] == {"pos": ["great", "good"], "neg": ["bad"]}
    listed = make_method("prompt-tuning", label_words="bad, great|good")
    assert listed.for_names(["neg", "pos"]).describe()["label_words"] == {"neg": ["bad"], "pos": ["great", "good"]}


def test_an_order_is_a_number_of_the_command_line_too() -> None:
    name, fields = read_spec("metapt:meta_order=2")
    assert make_method(name, **fields).describe()["meta_order"] == 2
    with pytest.raises(UserError, match="meta_order"):
        make_method("metapt", meta_order="3")
