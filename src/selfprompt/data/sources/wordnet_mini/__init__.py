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
    idea="Dictionary definitions of ten kinds of things (animal, food, person, ...), 500 each; works offline.",
    inputs="text",
)
FILE = "definitions.tsv.xz"


def load() -> Dataset:
    """5,000 definitions as one split, 500 of each class (benchmarks/wordnet_mini.py made them)."""
    with lzma.open(Path(__file__).parent / FILE, "rt", encoding="utf-8") as file:
        rows = [line.rstrip("\n").split("\t") for line in file]
    names = sorted({name for name, _ in rows})
    labels = np.array([names.index(name) for name, _ in rows], dtype=np.int64)
    texts = [(definition,) for _, definition in rows]
    licence = "WordNet 3.0 licence: any purpose, with its notice"
    return Dataset("wordnet-mini", tuple(names), Examples(texts, labels), licence=licence, inputs="text")
