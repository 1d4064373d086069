"""Make the embedded part of WordNet: 500 definitions of each of ten supersenses, and eight tasks of others.

    apt-get install wordnet-base
    python benchmarks/wordnet_mini.py [--root /usr/share/wordnet]

Taken are definitions of 4 to 30 words, drawn with a fixed seed, that stand under one class alone. A supersense whose
name is no everyday word is called otherwise: location is place. A task's training definitions were read by the
packaged language model, without labels; those of its test were kept from it (`builtin_text_corpus.held_out`). No
definition of a task is among the 5,000.
"""

from __future__ import annotations

import argparse
import lzma
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from builtin_text_corpus import Sense, held_out, senses
from selfprompt.data.sources import wordnet, wordnet_mini

SAME = ("animal", "artifact", "body", "event", "food", "person", "plant", "substance", "time")
CLASSES = {"location": "place", **{name: name for name in SAME}}
PER_CLASS, WORDS = 500, range(4, 31)
TASKS: dict[str, dict[str, str]] = {
    "living": {"animal": "5", "person": "18", "plant": "20"},
    "things": {"body": "8", "food": "13", "group": "14", "place": "15", "substance": "27"},
    "doings": {"change": "30", "think": "31", "speak": "32", "touch": "35", "move": "38", "give": "40"},
    "ideas": {"quality": "7", "idea": "9", "message": "10", "amount": "23", "state": "26", "act": "4"},
    "words": {"noun": "n", "verb": "v", "adjective": "a", "adverb": "r"},
    "artifacts": {
        "container": "6 container",
        "clothing": "6 clothing",
        "building": "6 structure",
        "tool": "6 implement",
    },
    "people": {
        "writer": "18 writer",
        "scientist": "18 scientist",
        "worker": "18 skilled worker",
        "leader": "18 leader",
        "performer": "18 entertainer",
    },
    "matters": {
        "illness": "26 ill health",
        "language": "10 language",
        "money": "21",
        "unit": "23 unit of measurement",
        "music": "10 music",
    },
}
"""Classes, each by a lexicographer file, by a word of one under which its senses are, or by a part of speech."""
TRAIN, TEST = 150, 50


def main(root: Path, out: Path) -> None:
    """Write both files, and say how large they are."""
    kinds: dict[str, set[str]] = defaultdict(set)
    for definition, sense in wordnet.definitions("noun", root):
        kinds[definition].add(sense)
    rows: dict[str, str] = {}
    for number, sense in enumerate(sorted(CLASSES)):
        drawn = draw((d for d, s in kinds.items() if s == {sense} and usable(d)), number)[:PER_CLASS]
        assert len(drawn) == PER_CLASS, (sense, len(drawn))
        rows |= dict.fromkeys(drawn, CLASSES[sense])
    write(out / wordnet_mini.FILE, [f"{name}\t{definition}" for definition, name in rows.items()])
    listed, every = [], [s for s in senses(root) if usable(s.definition) and not s.definition.endswith(",")]
    for task, classes in TASKS.items():
        there = [draw(set(own) - rows.keys(), number) for number, own in enumerate(found(every, classes))]
        held = [[d for d in own if held_out(d)] for own in there]
        least = min(TEST, *map(len, held))
        for name, own, kept in zip(classes, there, held):
            train = [d for d in own if not held_out(d)][:TRAIN]
            assert len(train) == TRAIN, (task, name, len(train))
            listed += [f"{task}\ttrain\t{name}\t{d}" for d in train]
            listed += [f"{task}\ttest\t{name}\t{d}" for d in kept[:least]]
        print(f"{task}: {least} of {', '.join(f'{len(kept)} {name}' for name, kept in zip(classes, held))} to test")
    write(out / wordnet_mini.TASKS, listed)


def usable(definition: str) -> bool:
    """Whether a definition is neither too short nor too long, and plain."""
    return len(definition.split()) in WORDS and definition.isascii()


def draw(definitions: Iterable[str], seed: int) -> list[str]:
    """Definitions in a random order."""
    own = sorted(definitions)
    return [own[i] for i in np.random.default_rng(seed).permutation(len(own))]


def found(every: Iterable[Sense], classes: dict[str, str]) -> list[list[str]]:
    """The definitions that stand under one class alone, class by class."""
    under: dict[str, set[str]] = defaultdict(set)
    for sense in every:
        under[sense.definition] |= {name for name, what in classes.items() if is_under(sense, what)}
    return [[d for d, names in under.items() if names == {name}] for name in classes]


def is_under(sense: Sense, what: str) -> bool:
    """Whether a sense is of a file, below a word of a file, or of a part of speech."""
    if what.isalpha():
        return sense.part == what
    file, _, word = what.partition(" ")
    return (int(file), word) in sense.above if word else sense.file == int(file)


def write(path: Path, rows: list[str]) -> None:
    """Rows, packed."""
    contents = "".join(f"{row}\n" for row in rows).encode()
    path.write_bytes(lzma.compress(contents, preset=9 | lzma.PRESET_EXTREME))
    print(f"{path}: {len(rows):,} definitions, {len(contents):,} bytes, {path.stat().st_size:,} packed")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--root", type=Path, default=wordnet.ROOT)
    parser.add_argument("--out", type=Path, default=Path(str(wordnet_mini.__file__)).parent)
    main(**vars(parser.parse_args()))
