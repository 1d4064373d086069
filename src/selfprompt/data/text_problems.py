"""What is wrong with texts that could be trained on all the same: doubles, two labels, encodings, lengths."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence

from selfprompt.data.datasets import Dataset
from selfprompt.data.templates import Reader
from selfprompt.data.texts import Entry, Parts

MISREAD = re.compile("\ufffd|Ã[\u0080-\u00bf]|â€|Â[\u00a0-\u00bf]")
"""UTF-8 that was read as Latin-1 or Windows-1252, and the mark of what could not be read."""


def parts_in(dataset: Dataset) -> dict[str, list[Entry]]:
    """The entries of a data set, by their numbers."""
    return {
        split: [
            Entry(f"{dataset.name}, {split} text {i}", texts, dataset.class_names[label])
            for i, (texts, label) in enumerate(zip(part.images, part.known_labels.tolist()))
        ]
        for split, part in dataset.own.items()
    }


def doubtful(parts: Parts) -> list[str]:
    """Problems of texts, in sentences, each with the first place."""
    first: dict[tuple[str, ...], tuple[str, Entry]] = {}
    found: dict[str, list[tuple[Entry, Entry]]] = defaultdict(list)
    misread = []
    for split, part in parts.items():
        for entry in part:
            before, other = first.setdefault(entry.texts, (split, entry))
            if other is not entry:
                two = None not in (other.label, entry.label) and other.label != entry.label
                where = split if before == split else f"{before} and {split}"
                found["label" if two else where].append((other, entry))
            if any(MISREAD.search(text) for text in entry.texts):
                misread.append(entry)
    problems = []
    for kind, pairs in found.items():
        one, other = pairs[0]
        if kind == "label":
            problems.append(
                f"{len(pairs):,} text(s) stand under two labels, such as {one.where} ({one.label}) and {other.where} "
                f"({other.label}): remove one of them."
            )
        else:
            said = f"{len(pairs):,} text(s) of {kind} stand there more than once" if " and " not in kind else ""
            said = said or f"{len(pairs):,} text(s) are in {kind}"
            problems.append(f"{said}, such as {one.where} and {other.where}: remove one of them.")
    if misread:
        problems.append(
            f"{len(misread):,} text(s) look as if they were read in another encoding than their own, such as "
            f"{misread[0].where}: {shown(misread[0])}: save the file as UTF-8 anew."
        )
    return problems


def shown(entry: Entry) -> str:
    """The surroundings of what was misread."""
    text = next(text for text in entry.texts if MISREAD.search(text))
    match = MISREAD.search(text)
    assert match is not None
    return repr(text[max(0, match.start() - 20) : match.end() + 20])


def lengths(entries: Sequence[Entry], reader: Reader) -> list[int]:
    """Tokens of each, with those that the model wants around."""
    words = reader.vocabulary
    around = len(words.start) + len(words.end)
    return [
        around + sum(len(words.encode(text)) for text in entry.texts) + len(words.between) * (len(entry.texts) - 1)
        for entry in entries
    ]
