from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from test_mae import stop_at

from selfprompt.backbones.base import UNEDITED
from selfprompt.backbones.load import load_backbone
from selfprompt.backbones.text import TextBackbone
from selfprompt.errors import UserError
from selfprompt.inputs import Text
from selfprompt.pretraining import text
from selfprompt.pretraining.config import TextConfig
from selfprompt.pretraining.masked_language import MaskedLanguageModel
from selfprompt.pretraining.text import pretrain_text, split
from selfprompt.pretraining.texts import END, MASK, PAD, START, Texts, Windows, load_documents, make_tokenizer

pytest.importorskip("transformers")

SHAPE = {"width": 16, "depth": 2, "heads": 2, "inner": 16, "vocabulary": 150, "window": 20}
TINY = TextConfig(**SHAPE, batch_size=4, tokens_seen=4 * 20 * 20, held_out=0.2)  # type: ignore[arg-type]
COLOURS = {"red": "blood and roses", "green": "grass, leaves and frogs", "blue": "the sea"}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve documents of two or three texts in two files."""
    folder = tmp_path_factory.mktemp("texts")
    told = [f"{colour}: the colour of {what}\n{{}} {colour}ness is in {what}" for colour, what in COLOURS.items()]
    documents = [document.format(number) for number in range(4) for document in told]
    (folder / "a.txt").write_text("\n\n".join(documents[:5]) + "\n", encoding="utf-8")
    (folder / "b.txt").write_text("\n\n\n" + "\n \n".join(documents[5:]) + "\nÜber alles", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def texts(corpus: Path) -> tuple[Texts, Any]:
    documents = load_documents(corpus)
    tokenizer = make_tokenizer(documents, 150)
    return Texts(documents, tokenizer), tokenizer


def drawn(texts: Texts, seed: int = 0, **changes: Any) -> Windows:
    return texts.windows(TINY.model_copy(update=changes), torch.Generator().manual_seed(seed))


def whole(windows: Windows) -> torch.Tensor:
    """What stood there before it was hidden."""
    return torch.where(windows.hidden >= 0, windows.hidden, windows.ids)


def test_a_line_is_a_text_and_an_empty_line_ends_a_document(corpus: Path) -> None:
    documents = load_documents(corpus)
    assert [len(document) for document in documents] == [2] * 11 + [3]
    assert documents[0] == ["red: the colour of blood and roses", "0 redness is in blood and roses"]
    assert load_documents(corpus / "a.txt") == documents[:5]


def test_the_same_texts_give_the_same_vocabulary(corpus: Path) -> None:
    documents = load_documents(corpus)
    made = [make_tokenizer(documents, 150) for _ in range(3)]
    assert len({tokenizer.to_str() for tokenizer in made}) == 1
    ids = made[0].encode("Green leaves").ids
    assert (ids[0], ids[-1]) == (START, END)
    assert made[0].decode(ids) == "green leaves"


def test_windows_hold_whole_texts_and_hide_words_of_them(texts: tuple[Texts, Any], corpus: Path) -> None:
    own, tokenizer = texts
    known = [" ".join(document) for document in load_documents(corpus)]
    coded = [tokenizer.encode(text, add_special_tokens=False).ids for text in known]
    windows = drawn(own, batch_size=200)
    ids, hidden = whole(windows), windows.hidden >= 0
    assert not (hidden & (ids <= MASK)).any()
    assert ((windows.ids == MASK) <= hidden).all()
    inside = (ids > MASK) & (windows.texts > 0)
    assert 0.3 < hidden[inside].float().mean() < 0.45  # of a window, and the ends of a quarter of the texts
    assert 0.05 < (windows.ids != MASK)[hidden].float().mean() < 0.15
    assert (windows.ids == PAD).float().mean() < 0.15
    for row, members in zip(ids, windows.texts):
        for number in range(1, int(members.max()) + 1):
            one = row[members == number].tolist()
            assert (one[0], one[-1]) == (START, END)
            inner = one[1:-1]
            assert any(inner == code[i : i + len(inner)] for code in coded for i in range(len(code)))


def test_the_ends_that_are_hidden_are_whole_words(texts: tuple[Texts, Any]) -> None:
    own, tokenizer = texts
    for words in ("greenfrog of redgrass", "is in redgrass", "redgrass"):
        ids = tokenizer.encode(words, add_special_tokens=False)
        array = torch.tensor(ids.ids).numpy()
        for first in (True, False):
            at = range(len(ids.ids))[own.end(array, first=first)]
            word = words.split()[0 if first else -1]
            assert "".join(ids.tokens[i].removeprefix("##") for i in at) == word
    assert drawn(own, ends=0.9, mask_ratio=1e-9).hidden[:, 1].ge(0).any()


def test_a_text_among_others_is_what_it_is_alone(texts: tuple[Texts, Any]) -> None:
    own, _ = texts
    network, windows = MaskedLanguageModel(TINY, 150), drawn(own, batch_size=1, window=60)
    for weight in network.parameters():
        torch.nn.init.normal_(weight, std=0.5)
    assert windows.texts.max() > 2
    total, count = 0.0, 0
    for number in range(1, int(windows.texts.max()) + 1):
        at = windows.texts == number
        alone = Windows(windows.ids[at][None], windows.texts[at][None], windows.hidden[at][None])
        if told := int((alone.hidden >= 0).sum()):
            total, count = total + network(alone).item() * told, count + told
    assert network(windows).item() == pytest.approx(total / count, rel=1e-5)


def test_words_start_by_what_stands_near_them_and_by_how_often_they_come(corpus: Path) -> None:
    documents = load_documents(corpus)
    tokenizer = make_tokenizer(documents, 250)
    vectors, counts = Texts(documents, tokenizer).vectors(16, 0)
    size = tokenizer.get_vocab_size()
    network = MaskedLanguageModel(TINY, size)
    network.start_from(vectors, counts)
    words = network.model.get_input_embeddings().weight.detach()
    blood, roses, sea = (words[tokenizer.token_to_id(word)] for word in ("blood", "roses", "sea"))
    near, far = (torch.cosine_similarity(blood, other, dim=0) for other in (roses, sea))
    assert near > far + 0.15
    torch.testing.assert_close(blood.norm(), roses.norm())
    listed = [i for document in documents for text in document for i in tokenizer.encode(text).ids[1:-1]]
    assert counts.tolist() == [listed.count(i) for i in range(size)]
    torch.testing.assert_close(network.model.decoder.bias.softmax(0), (counts + 1) / (counts + 1).sum())


def test_documents_are_held_out_whole(corpus: Path) -> None:
    documents = load_documents(corpus)
    seen, unseen = split(documents, 0.2)
    assert sorted([*seen, *unseen]) == sorted(documents)
    assert len(unseen) == 3
    assert [len(part) for part in split(documents[:2], 1e-3)] == [1, 1]


def test_killed_and_resumed_it_is_the_same_to_the_bit(corpus: Path, tmp_path: Path) -> None:
    generator = torch.random.get_rng_state()
    whole, rest = [], []
    made = pretrain_text(corpus, tmp_path / "whole", TINY, lambda step, steps, loss: whole.append(loss))
    with pytest.raises(KeyboardInterrupt):
        pretrain_text(corpus, tmp_path / "killed", TINY, stop_at(12), checkpoint_seconds=0)
    again = pretrain_text(corpus, tmp_path / "killed", TINY, lambda step, steps, loss: rest.append(loss))
    assert rest == whole[11:]
    assert made | {"seconds": 0} == again | {"seconds": 0}
    assert torch.equal(torch.random.get_rng_state(), generator)  # the caller's random numbers are its own
    a, b = (load_backbone(f"text:{tmp_path / name}") for name in ("whole", "killed"))
    assert a.fingerprint() == b.fingerprint()
    assert {path.name for path in tmp_path.iterdir()} == {"whole", "killed"}


def test_the_folder_answers_as_the_trained_network(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[MaskedLanguageModel] = []
    own = text.write
    monkeypatch.setattr(text, "write", lambda out, network, *rest: kept.append(network) or own(out, network, *rest))
    size = {"vocabulary": 250, "window": 32, "width": 32, "batch_size": 16, "tokens_seen": 16 * 32 * 250}
    config = TINY.model_copy(update={**size, "lr": 1e-2, "held_out": 0.01})
    summary = pretrain_text(corpus, tmp_path / "made", config)
    assert summary["loss"] < 1.5 < 4 < torch.tensor(150.0).log()
    backbone = load_backbone(f"text:{tmp_path / 'made'}")
    assert isinstance(backbone, TextBackbone)
    words = backbone.vocabulary
    assert words.mask == MASK
    for colour, what in COLOURS.items():
        coded = words.tokenizer(f"[MASK]: the colour of {what}", return_tensors="pt")
        given = Text(coded.input_ids, coded.attention_mask.bool(), torch.tensor([1]))
        with torch.no_grad():
            scores = backbone.readout(backbone.run(given, UNEDITED), "words")
            network = kept[0].model(**{k: coded[k] for k in ("input_ids", "attention_mask")}).logits[:, 1]
        torch.testing.assert_close(scores, network, rtol=1e-2, atol=3e-2)  # of weights in half precision
        told = {other: float(scores[0, words.of_word(other)[0]]) for other in COLOURS}
        assert max(told, key=told.__getitem__) == colour  # and it learnt


@pytest.mark.parametrize(
    ("content", "change", "sentence"),
    [
        (None, {}, r"There is no .*t\.txt: give a file of texts, one a line, or a folder"),
        ("one\ntwo\n", {}, r"has 1 documents: give two or more, with an empty line between"),
        ("", {}, r"has 0 documents"),
        ("a\n\nb", {"width": 18}, r"--width must be a multiple of --heads, and an even one"),
    ],
)
def test_what_cannot_be_trained_on(content: str | None, change: dict, sentence: str, tmp_path: Path) -> None:
    file = tmp_path / "t.txt"
    if content is not None:
        file.write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=sentence):
        pretrain_text(file, tmp_path / "out", TINY.model_copy(update=change))


def test_what_is_there_is_not_written_over(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is there already: choose another --out"):
        pretrain_text(corpus, tmp_path, TINY)
