"""Tasks made out of raw text: their answers are right, balanced, and of documents that are kept apart."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from selfprompt.data.datasets import Dataset
from selfprompt.data.sources import load_dataset, locate
from selfprompt.data.tasks.corpus import read_corpus
from selfprompt.errors import UserError

TOPICS = ["harbour", "orchard", "glacier", "printer"]


def write_corpus(path: Path, count: int = 40, sentences: int = 9) -> Path:
    """Documents whose every sentence says which it is: "Document 3 says 4 of harbour."."""
    rows = []
    for d in range(count):
        said = [f"Document {d} says {s} of {TOPICS[d % 4]} things." for s in range(sentences)]
        rows.append("\n".join((" ".join(said[:4]), " ".join(said[4:]))))
    path.write_text("\n\n".join(rows), encoding="utf-8")
    return path


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    return write_corpus(tmp_path / "corpus.txt")


def place(sentence: str) -> tuple[int, int]:
    """Document and sentence."""
    words = sentence.split()
    return int(words[1]), int(words[3])


def every(made: Dataset) -> list[tuple[Any, int]]:
    return [pair for part in made.own.values() for pair in zip(part.images, part.known_labels.tolist())]


def test_documents_and_sentences_are_found(tmp_path: Path) -> None:
    text = 'One is here. "Two," he said. (Three!) Is 4 next? Yes, e.g. this.\nNo end\nsmall letters go on.\n'
    (tmp_path / "a.txt").write_text(f"\ufeff{text}\r\n  \r\nToo short. It is.\n", encoding="utf-8")
    (tmp_path / "b.txt").write_text("A。B！C？D。E。", encoding="utf-8")
    (tmp_path / "c.md").write_text("A. B. C. D. E.", encoding="utf-8")
    first, second = read_corpus(tmp_path)
    assert first[:5] == ("One is here.", '"Two," he said.', "(Three!)", "Is 4 next?", "Yes, e.g. this.")
    assert first[5:] == ("No end", "small letters go on.")
    assert second == ("A。", "B！", "C？", "D。", "E。")


def test_a_packaged_corpus_is_known_by_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert locate("pairs:wordnet-mini#seed=3") == "pairs:wordnet-mini#seed=3"
    made = load_dataset("choice:wordnet-mini")
    assert made.name == "choice of wordnet-mini"
    assert "WordNet" in made.licence
    asked = {text for part in made.own.values() for texts in part.images for text in texts}
    assert not asked & {text for (text,) in load_dataset("wordnet-mini").train.images}, "a test's own definitions"
    first, second = (load_dataset(f"single:wordnet-mini{rest}").class_names for rest in ("", "#without=person,large"))
    assert {"person", "large"} <= {*first}
    assert {*first} - {"person", "large"} < {*second}
    assert len(second) == 16
    write_corpus(tmp_path / "wordnet-mini")
    assert load_dataset("pairs:wordnet-mini").train.images[0][0].startswith("Document"), "what is here goes before"


def test_pairs_say_how_two_sentences_stand(corpus: Path) -> None:
    made = load_dataset(f"pairs:{corpus}")
    assert made.class_names == ("yes", "maybe", "no")
    for (one, other), label in every(made):
        (d, s), (e, t) = place(one), place(other)
        assert label == (2 if d != e else 0 if abs(s - t) == 1 else 1)
        assert (d, s) != (e, t)
    seen = {place(one) for (one, _), _ in every(made)}
    assert seen == {(d, s) for d in range(40) for s in range(9)}


def test_answers_are_balanced(tmp_path: Path) -> None:
    big = write_corpus(tmp_path / "corpus.txt", 300, 12)
    for kind, classes in (("pairs", 3), ("choice", 6), ("choice:4", 4)):
        name, _, options = kind.partition(":")
        made = load_dataset(f"{name}:{big}" + (f"#options={options}" if options else ""))
        counts = np.array([n for _, n in sorted(Counter(label for _, label in every(made)).items())])
        expected = counts.sum() / classes
        assert len(counts) == classes
        assert ((counts - expected) ** 2 / expected).sum() < 25  # one in ten thousand by chance, with five degrees


@pytest.mark.parametrize("options", [2, 3, 6])
def test_one_option_is_the_neighbour_and_the_others_are_of_as_many_documents(corpus: Path, options: int) -> None:
    made = load_dataset(f"choice:{corpus}#options={options}")
    assert made.class_names == tuple("ABCDEF"[:options])
    for (query, *given), label in every(made):
        d, s = place(query)
        places = [place(option) for option in given]
        assert len(places) == options
        e, t = places.pop(label)
        assert (e, abs(s - t)) == (d, 1)
        same = [t for e, t in places if e == d]
        assert len(same) == (options > 2)
        assert all(abs(s - t) > 1 for t in same)
        others = [e for e, _ in places if e != d]
        assert len(set(others)) == len(others)


def test_a_word_is_taken_out_of_a_sentence(corpus: Path) -> None:
    made = load_dataset(f"single:{corpus}#words=4")
    assert made.class_names == tuple(sorted(TOPICS))
    for (text,), label in every(made):
        d, s = place(text)
        assert text == f"Document {d} says {s} of things."
        assert made.class_names[label] == TOPICS[d % 4]


@pytest.mark.parametrize("kind", ["pairs", "choice", "single"])
def test_splits_are_of_whole_documents_and_the_seed_decides(corpus: Path, kind: str) -> None:
    more = "words=4&" if kind == "single" else ""
    made, again, other, shuffled = (
        load_dataset(f"{kind}:{corpus}#{more}{rest}") for rest in ("seed=0", "seed=0", "seed=1", "labels=shuffled")
    )
    parts: list[Any] = [part.images for part in made.own.values()]
    documents = [{place(text)[0] for texts in part for text in texts} for part in parts]
    assert sum(map(len, documents)) == len(set().union(*documents)) == 40
    assert len(documents) == 3
    assert every(made) == every(again) != every(other)
    assert [texts for texts, _ in every(shuffled)] == [texts for texts, _ in every(made)]
    for part, plain in zip(shuffled.own.values(), made.own.values()):
        assert sorted(part.known_labels) == sorted(plain.known_labels)
        assert (part.known_labels == plain.known_labels).mean() < 0.8


def test_it_stands_for_itself_anywhere(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(corpus.parent)
    assert locate("pairs:corpus.txt#seed=3") == f"pairs:{corpus}#seed=3"


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("pairs:{folder}/none.txt", "no file or folder"),
        ("pairs:{folder}/corpus.txt#options=3", "setting of pairs"),
        ("pairs:{folder}/corpus.txt#labels=true", "labels=shuffled"),
        ("choice:{folder}/corpus.txt#options=17", "from 2 to 16"),
        ("choice:{folder}/corpus.txt#options=16", "40 documents .* 60 are needed"),
        ("single:{folder}/corpus.txt#words=900", "not 900"),
        ("pairs:{folder}/few.txt", "3 documents .* 8 are needed"),
        ("pairs:{folder}/latin.txt", "not UTF-8"),
        ("pairs:{folder}/empty", r"no \.txt file"),
    ],
)
def test_what_cannot_be_is_refused(corpus: Path, data: str, said: str) -> None:
    write_corpus(corpus.parent / "few.txt", 3)
    (corpus.parent / "latin.txt").write_bytes("schön".encode("latin1"))
    (corpus.parent / "empty").mkdir()
    with pytest.raises(UserError, match=said) as refused:
        load_dataset(data.format(folder=corpus.parent))
    assert "\n" not in str(refused.value)
