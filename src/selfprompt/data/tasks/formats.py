"""Questions about documents, in the formats of tasks: pairs, choices, single sentences."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from string import ascii_uppercase
from typing import Any, TypeAlias

import numpy as np

from selfprompt.data.datasets import Dataset
from selfprompt.data.examples import Examples
from selfprompt.data.tasks.corpus import LEAST, Document
from selfprompt.errors import UserError

HELD_OUT = 0.1
"""Share of the documents for validation, and for the test."""
WORD = re.compile(r"[^\W\d_]{4,}")

Asked: TypeAlias = tuple[tuple[str, ...], int]
"""Texts, and the class."""


@dataclass(frozen=True)
class Format:
    """A way to ask.

    Args:
        classes: Names of the answers.
        ask: Documents, which of them, which sentence, and random numbers, to a question; None where there is none.
        least: Documents that it takes to ask.
    """

    classes: tuple[str, ...]
    ask: Callable[[Sequence[Document], int, int, np.random.Generator], Asked | None]
    least: int


def pairs() -> Format:
    """PPT's pairs (Gu et al., arXiv 2109.04332): each answer is the right one with a probability of a third.

    With the answer yes, the second sentence is a neighbour of the first; with maybe it is of the same document and no
    neighbour; with no it is of another document.
    """

    def ask(documents: Sequence[Document], d: int, s: int, rng: np.random.Generator) -> Asked:
        label = int(rng.integers(3))
        pick = (neighbour, further)[label](documents[d], s, rng) if label < 2 else elsewhere(documents, {d}, rng)[1]
        return (documents[d][s], pick), label

    return Format(("yes", "maybe", "no"), ask, 2)


def choice(options: int) -> Format:
    """PPT's choices: a sentence, and which of the options, A, B and so on, stands beside it.

    One is its neighbour; of three or more, one is of the same document and no neighbour; the others are of as many
    other documents. Published, with six; any number is what unified PPT asks.
    """

    def ask(documents: Sequence[Document], d: int, s: int, rng: np.random.Generator) -> Asked:
        found, used = [neighbour(documents[d], s, rng)], {d}
        if options > 2:
            found.append(further(documents[d], s, rng))
        while len(found) < options:
            other, sentence = elsewhere(documents, used, rng)
            used.add(other)
            found.append(sentence)
        order = rng.permutation(options)
        return (documents[d][s], *(found[i] for i in order)), int(np.flatnonzero(order == 0)[0])

    return Format(tuple(ascii_uppercase[:options]), ask, max(2, options - 1))


def single(documents: Sequence[Document], words: int, without: Sequence[str] = ()) -> Format:
    """Single sentences without an annotator (ours): one of some words was taken out of the sentence; which?

    The words are those of four letters or more that best tell documents apart, by how many sentences have one times
    the logarithm of how few documents do. PPT has another model rate sentences instead; of these, a table with such
    ratings as labels is a data set as any.

    Raises:
        UserError: There are fewer such words.
    """
    in_sentences: Counter[str] = Counter()
    in_documents: Counter[str] = Counter()
    for document in documents:
        each = [set(words_in(sentence)) for sentence in document]
        in_sentences.update(word for found in each for word in found)
        in_documents.update(set().union(*each))
    score = {word: n * math.log(len(documents) / in_documents[word]) for word, n in in_sentences.items()}
    kept = (word for word in score if score[word] > 0 and word not in without)
    names = sorted(kept, key=lambda word: (-score[word], word))[:words]
    if len(names) < words:
        less = f"ask for fewer (#words={len(names)}), or " if len(names) > 1 else ""
        raise UserError(
            f"The corpus has {len(names)} words of four letters or more that tell documents apart, not {words}: "
            f"{less}give more text, with empty lines between documents."
        )
    number = {word: i for i, word in enumerate(sorted(names))}

    def ask(documents: Sequence[Document], d: int, s: int, rng: np.random.Generator) -> Asked | None:
        sentence = documents[d][s]
        found = {word for word in words_in(sentence) if word in number}
        if len(found) != 1:
            return None
        word = found.pop()
        left = " ".join(WORD.sub(lambda match: "" if match[0].lower() == word else match[0], sentence).split())
        return ((left,), number[word]) if words_in(left) else None

    return Format(tuple(sorted(names)), ask, 1)


def task(name: str, documents: Sequence[Document], made: Format, seed: int, shuffled: bool) -> Dataset:
    """One question of each sentence, documents kept whole and apart: a tenth for validation, a tenth for the test.

    Args:
        name: Of the data set.
        documents: Of all.
        made: How to ask.
        seed: Of every draw.
        shuffled: Give each question the answer of another one of its split.

    Raises:
        UserError: There are too few documents.
    """
    held = max(made.least, round(HELD_OUT * len(documents)))
    if len(documents) < 4 * held:
        raise UserError(
            f"The corpus has {len(documents)} documents of {LEAST} sentences or more, and {4 * held} are needed: add "
            f"some, with an empty line between them."
        )
    order = np.random.default_rng(seed).permutation(len(documents))
    parts = {"test": order[:held], "val": order[held : 2 * held], "train": order[2 * held :]}
    splits: dict[str, Examples] = {}
    for place, (split, chosen) in enumerate(parts.items()):
        rng = np.random.default_rng((seed, place))
        asked = list(questions([documents[i] for i in chosen], made, rng))
        if not asked:
            raise UserError(f"The corpus has no sentence to ask of for the {split} split: add documents.")
        labels = np.array([label for _, label in asked])
        texts: list[Any] = [texts for texts, _ in asked]
        splits[split] = Examples(texts, rng.permutation(labels) if shuffled else labels)
    return Dataset(name, made.classes, splits["train"], splits["val"], splits["test"], "the user's own")


def questions(documents: Sequence[Document], made: Format, rng: np.random.Generator) -> Iterator[Asked]:
    """One question of each sentence, where there is one."""
    for d, document in enumerate(documents):
        for s in range(len(document)):
            if asked := made.ask(documents, d, s, rng):
                yield asked


def neighbour(document: Document, s: int, rng: np.random.Generator) -> str:
    """A sentence beside another; the first and the last have one."""
    beside = [i for i in (s - 1, s + 1) if 0 <= i < len(document)]
    return document[int(rng.choice(beside))]


def further(document: Document, s: int, rng: np.random.Generator) -> str:
    """A sentence of the same document, neither the same nor beside it."""
    return document[int(rng.choice([i for i in range(len(document)) if abs(i - s) > 1]))]


def elsewhere(documents: Sequence[Document], used: set[int], rng: np.random.Generator) -> tuple[int, str]:
    """A document that is none of some, and a sentence of it."""
    while (d := int(rng.integers(len(documents)))) in used:
        continue
    return d, documents[d][int(rng.integers(len(documents[d])))]


def words_in(sentence: str) -> list[str]:
    """Its words of four letters or more."""
    return [word.lower() for word in WORD.findall(sentence)]
