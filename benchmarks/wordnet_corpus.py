"""Make the embedded corpus: definitions of kinds of one thing, a document each, for tasks made out of raw text.

    apt-get install wordnet-base
    python benchmarks/wordnet_corpus.py [--wordnet /usr/share/wordnet]

A document is what WordNet files directly under one noun, in its order: its kinds' definitions of 4 to 30 words.
None is a definition of the data set wordnet-mini, none was held out from the built-in language model's training, and
none comes twice. Of those with five definitions or more, 1,500 are drawn with a fixed seed, each of 12 at most.
"""

from __future__ import annotations

import argparse
import lzma
from collections import defaultdict
from pathlib import Path

import numpy as np

from builtin_text_corpus import held_out
from selfprompt.data.sources import wordnet, wordnet_mini
from selfprompt.data.tasks import PACKAGED
from selfprompt.data.tasks.corpus import LEAST
from wordnet_mini import usable

DOCUMENTS, MOST = 1500, 12


def main(root: Path, out: Path) -> None:
    """Write the file, and say how large it is."""
    taken = {text[0] for text in wordnet_mini.load().train.images}
    under: dict[str, list[str]] = defaultdict(list)
    for line in (root / "data.noun").read_text(encoding="latin-1").splitlines():
        head, mark, gloss = line.partition(" | ")
        definition = wordnet.definition_of(gloss)
        fields = head.split()
        if line.startswith("  ") or not mark or "@" not in fields or not usable(definition):
            continue
        if definition in taken or held_out(definition):
            continue
        taken.add(definition)
        under[fields[fields.index("@") + 1]].append(definition)
    long = [under[above] for above in sorted(under) if len(under[above]) >= LEAST]
    drawn = np.sort(np.random.default_rng(0).permutation(len(long))[:DOCUMENTS])
    text = "\n\n".join("\n".join(long[i][:MOST]) for i in drawn) + "\n"
    out.write_bytes(lzma.compress(text.encode(), preset=9 | lzma.PRESET_EXTREME))
    print(f"{out}: {len(drawn)} of {len(long)} documents, {len(text):,} characters, {out.stat().st_size:,} packed")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wordnet", type=Path, default=wordnet.ROOT, dest="root")
    parser.add_argument("--out", type=Path, default=PACKAGED["wordnet-mini"])
    main(**vars(parser.parse_args()))
