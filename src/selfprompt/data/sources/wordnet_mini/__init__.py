"""The embedded data set of texts: definitions of nouns out of WordNet, packaged with their licence."""

from __future__ import annotations

import lzma
from pathlib import Path

import numpy as np

from selfprompt.data.datasets import Dataset, Examples
from selfprompt.registry import Record

RECORD = Record(
    name="wordnet-mini",
    title="WordNet 3.0, 5,000 of its definitions",
    url="https://wordnet.princeton.edu",
    year=2006,
    idea="Dictionary definitions of ten kinds of things (animal, food, person, ...), 500 each, and eight small tasks "
    "of others; works offline.",
    parts=("", "living", "things", "doings", "ideas", "words", "artifacts", "people", "matters"),
    inputs="text",
)
FILE, TASKS = "definitions.tsv.xz", "tasks.tsv.xz"


def load(part: str | None = None) -> Dataset:
    """5,000 definitions as one split, 500 of each class; or a task of other definitions (benchmarks/wordnet_mini.py).

    A task has 150 of each class to train on, and up to 50 to test, which the packaged language model was not trained
    on.
    """
    rows = [line.split("\t") for line in lines(TASKS if part else FILE)]
    if part:
        rows = [row[1:] for row in rows if row[0] == part]
    names = list(dict.fromkeys(row[-2] for row in rows))

    def split(name: str) -> Examples:
        own = [row for row in rows if row[0] == name or not part]
        texts = [(definition,) for *_, definition in own]
        return Examples(texts, np.array([names.index(row[-2]) for row in own], dtype=np.int64))

    called = f"wordnet-mini/{part}" if part else "wordnet-mini"
    licence = "WordNet 3.0 licence: any purpose, with its notice"
    test = split("test") if part else None
    return Dataset(called, tuple(names), split("train"), test=test, licence=licence, inputs="text")


def lines(name: str) -> list[str]:
    """Those of a file here."""
    with lzma.open(Path(__file__).parent / name, "rt", encoding="utf-8") as file:
        return file.read().splitlines()
