"""Write the texts that the built-in language model is trained on.

    apt-get install wordnet-base
    apt-get update -o Acquire::Languages=en
    python benchmarks/builtin_text_corpus.py corpus
    selfprompt pretrain corpus --kind text --out builtin_text

They are WordNet's definitions and examples (WordNet licence), and what Debian's index says of its packages (each
description under its package's licence, all of them free). A line is a text, an empty line ends a document, and no
text comes twice. One definition in twenty is held out, with its examples (see `held_out`): tests of definitions are
to be made of these.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

LISTS = Path("/var/lib/apt/lists")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--wordnet", type=Path, default=Path("/usr/share/wordnet"))
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    for name, documents in (("wordnet", wordnet(given.wordnet)), ("debian", debian())):
        kept = list(unique(documents))
        text = "\n\n".join("\n".join(lines) for lines in kept) + "\n"
        (given.out / f"{name}.txt").write_text(text, encoding="utf-8")
        print(f"{name}: {len(kept)} documents, {sum(map(len, kept))} texts, {len(text) / 1e6:.1f} M characters")


def held_out(definition: str) -> bool:
    """Whether a definition is kept from training."""
    return zlib.crc32(definition.encode()) % 20 == 0


@dataclass(frozen=True)
class Sense:
    """A sense of WordNet.

    Args:
        file: Number of its lexicographer file.
        part: Of speech: n, v, a or r.
        words: That have it.
        definition: Of it.
        examples: Sentences.
        above: Where its hypernyms stand: their files, and a first word.
    """

    file: int
    part: str
    words: list[str]
    definition: str
    examples: list[str]
    above: frozenset[tuple[int, str]]


def senses(folder: Path) -> Iterator[Sense]:
    """All of WordNet's."""
    lines: dict[tuple[str, str], tuple[list[str], str]] = {}
    for part in ("noun", "verb", "adj", "adv"):
        for line in (folder / f"data.{part}").read_text(encoding="latin1").splitlines():
            head, mark, gloss = line.partition(" | ")
            if mark and not line.startswith("  "):  # the licence
                fields = head.split()
                lines[fields[2].replace("s", "a"), fields[0]] = fields, gloss

    def words(fields: list[str]) -> list[str]:
        own = fields[4 : 4 + 2 * int(fields[3], 16) : 2]
        return [re.sub(r"\(\w+\)$", "", word).replace("_", " ") for word in own]

    @lru_cache(None)
    def above(part: str, offset: str) -> frozenset[tuple[int, str]]:
        fields = lines[part, offset][0]
        pointers = fields[5 + 2 * int(fields[3], 16) :]
        found: set[tuple[int, str]] = set()
        for kind, other, of in zip(pointers[::4], pointers[1::4], pointers[2::4]):
            if kind in ("@", "@i"):
                there = lines[of, other][0]
                found |= {(int(there[1]), words(there)[0]), *above(of, other)}
        return frozenset(found)

    for (part, offset), (fields, gloss) in lines.items():
        definition = re.sub(r'[;:]?\s*"[^"]*".*$', "", gloss).strip().rstrip(";").strip()
        examples = [text.strip() for text in re.findall(r'"([^"]+)"', gloss)]
        yield Sense(int(fields[1]), part, words(fields), definition, examples, above(part, offset))


def wordnet(folder: Path) -> Iterator[list[str]]:
    """A document for each sense: its words and definition, for one in three in the other order, and its examples."""
    for sense in senses(folder):
        if held_out(sense.definition):
            continue
        first = f"{', '.join(dict.fromkeys(sense.words[:3]))}: {sense.definition}"
        last = f"{sense.definition}: {sense.words[0]}"
        yield [last if zlib.crc32(sense.definition.encode()) % 3 == 0 else first, *sense.examples]


def debian() -> Iterator[list[str]]:
    """A document for each package: its short description, and the paragraphs of the long one."""
    for path in sorted(LISTS.glob("*_main_i18n_Translation-en*")):
        listed = subprocess.run(["/usr/lib/apt/apt-helper", "cat-file", path], capture_output=True, check=True)
        for entry in listed.stdout.decode().split("\n\n"):
            said = entry.partition("\nDescription-en: ")[2]
            short, _, body = said.partition("\n")
            paragraphs = re.split(r"\n \.(?:\n|$)", "\n" + body)
            plain = (re.sub(r"\S+://\S+|\s+", " ", text) for text in paragraphs)
            yield [short.strip(), *(re.sub(r" +", " ", text).strip() for text in plain)]


def unique(documents: Iterable[list[str]]) -> Iterator[list[str]]:
    """The texts of at least three words that came in no document before; numbers make no difference."""
    seen: set[str] = set()
    for lines in documents:
        kept = []
        for line in lines:
            key = re.sub(r"[\d.]+", "0", line.lower())
            if len(re.findall(r"[a-z]{2,}", key)) >= 3 and key not in seen:
                seen.add(key)
                kept.append(line)
        if kept:
            yield kept


if __name__ == "__main__":
    main()
