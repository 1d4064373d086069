"""Make the embedded part of WordNet: 500 definitions of each of ten supersenses, drawn with a fixed seed.

    apt-get install wordnet-base
    python benchmarks/wordnet_mini.py [--root /usr/share/wordnet]

Taken are definitions of 4 to 30 words that stand under one supersense alone. A supersense whose name is no everyday
word is called otherwise: location is place.
"""

from __future__ import annotations

import argparse
import lzma
from collections import defaultdict
from pathlib import Path

import numpy as np

from selfprompt.data.sources import wordnet, wordnet_mini

SAME = ("animal", "artifact", "body", "event", "food", "person", "plant", "substance", "time")
CLASSES = {"location": "place", **{name: name for name in SAME}}
PER_CLASS, WORDS = 500, range(4, 31)


def main(root: Path, out: Path) -> None:
    """Write the file, and say how large it is."""
    senses: dict[str, set[str]] = defaultdict(set)
    for definition, sense in wordnet.definitions("noun", root):
        senses[definition].add(sense)
    rows = []
    for number, sense in enumerate(sorted(CLASSES)):
        own = sorted(d for d, s in senses.items() if s == {sense} and len(d.split()) in WORDS and d.isascii())
        drawn = np.random.default_rng(number).permutation(len(own))[:PER_CLASS]
        assert len(drawn) == PER_CLASS, (sense, len(own))
        rows += [f"{CLASSES[sense]}\t{own[i]}\n" for i in drawn]
    contents = "".join(rows).encode()
    out.write_bytes(lzma.compress(contents, preset=9 | lzma.PRESET_EXTREME))
    print(f"{out}: {len(rows):,} definitions, {len(contents):,} bytes, {out.stat().st_size:,} packed")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=Path, default=wordnet.ROOT)
    parser.add_argument("--out", type=Path, default=Path(str(wordnet_mini.__file__)).parent / wordnet_mini.FILE)
    main(**vars(parser.parse_args()))
