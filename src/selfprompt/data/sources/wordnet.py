"""WordNet's definitions by supersense, from the Debian package wordnet-base."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import numpy as np

from selfprompt.data.datasets import Dataset, Examples
from selfprompt.errors import UserError
from selfprompt.registry import Record

RECORD = Record(
    name="wordnet",
    title="WordNet 3.0",
    url="https://wordnet.princeton.edu",
    year=2006,
    idea="Definitions of nouns, or of verbs, by their kind (25 or 15 supersenses), where wordnet-base is installed.",
    parts=("", "verbs"),
    debian="wordnet-base",
    inputs="text",
)
ROOT = Path("/usr/share/wordnet")
NOUNS = (
    *("act", "animal", "artifact", "attribute", "body", "cognition", "communication", "event", "feeling", "food"),
    *("group", "location", "motive", "object", "person", "phenomenon", "plant", "possession", "process", "quantity"),
    *("relation", "shape", "state", "substance", "time"),
)
VERBS = (
    *("body", "change", "cognition", "communication", "competition", "consumption", "contact", "creation", "emotion"),
    *("motion", "perception", "possession", "social", "stative", "weather"),
)
FIRST = {"noun": 4, "verb": 29}
"""The number of the first of these lexicographer files (lexnames(5WN)); noun.Tops, the roots, are left out."""
LICENCE = "WordNet 3.0 licence: any purpose, with its notice"


@lru_cache
def load(part: str | None = None) -> Dataset:
    """Every different definition of a noun, or of a verb, as one split.

    Raises:
        UserError: The package is not installed, or a file is damaged.
    """
    names, kind = (VERBS, "verb") if part == "verbs" else (NOUNS, "noun")
    found: dict[str, str] = {}
    for definition, name in definitions(kind):
        found.setdefault(definition, name)
    labels = np.array([names.index(name) for name in found.values()], dtype=np.int64)
    texts = [(definition,) for definition in found]
    called = "wordnet/verbs" if part else "wordnet"
    return Dataset(called, names, Examples(texts, labels), licence=LICENCE, inputs="text")


def definitions(kind: str, root: Path | None = None) -> Iterator[tuple[str, str]]:
    """Definitions with their supersenses, in the order of the file.

    A line is ``OFFSET FILE TYPE ... | DEFINITION; "EXAMPLE"`` (wndb(5WN)).

    Args:
        kind: noun or verb.
        root: The folder of WordNet's files.

    Raises:
        UserError: They are not there, or damaged.
    """
    path, names = (root or ROOT) / f"data.{kind}", VERBS if kind == "verb" else NOUNS
    if not path.is_file():
        raise UserError(f"The data set wordnet needs a Debian package ({path}): apt-get install wordnet-base.")
    with path.open(encoding="latin-1") as file:
        for number, line in enumerate(file, 1):
            if line.startswith("  "):  # the licence
                continue
            head, mark, gloss = line.partition(" | ")
            fields = head.split()
            if not mark or len(fields) < 3 or not fields[1].isdecimal():
                raise UserError(f"{path}, line {number} is no entry of WordNet's: install wordnet-base anew.")
            sense = int(fields[1]) - FIRST[kind]
            definition = definition_of(gloss)
            if 0 <= sense < len(names) and definition:
                yield definition, names[sense]


def definition_of(gloss: str) -> str:
    """A gloss without its examples."""
    return re.sub(r'[;:,]?\s*"[^"]*".*$', "", gloss).strip().rstrip(";").strip()
