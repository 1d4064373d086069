"""What is wrong with texts that could be trained on all the same: doubles, two labels, encodings, lengths."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from selfprompt.data.cells import Label, joined
from selfprompt.data.checks.doubles import doubles, exact, problems
from selfprompt.data.checks.findings import Double, Item
from selfprompt.data.datasets import Dataset
from selfprompt.data.examples import Examples
from selfprompt.data.templates import Reader
from selfprompt.data.texts import Entry, Parts


def parts_in(dataset: Dataset) -> dict[str, list[Entry]]:
    """The entries of a data set, by their numbers."""
    return {
        split: [
            Entry(f"{dataset.name}, {split} text {i}", texts, label)
            for i, (texts, label) in enumerate(zip(part.images, labels_of(part, dataset.class_names)))
        ]
        for split, part in dataset.own.items()
    }


def labels_of(part: Examples, names: Sequence[str]) -> list[Label]:
    """The labels of some examples by their names."""
    labels = part.known_labels
    if part.multi_label:
        return [tuple(name for name, has in zip(names, own) if has) for own in labels]
    return [names[int(label)] for label in labels]


def doubtful(parts: Parts, twice: Sequence[Double]) -> list[str]:
    """Problems of texts, some of which are there twice (see `doubled`), in sentences, each with the first place."""
    every = [entry for part in parts.values() for entry in part]
    misread = [entry for entry in every if any(map(is_misread, entry.texts))]
    said = problems(twice, "text")
    if misread:
        said.append(
            f"{len(misread):,} text(s) look as if they were read in another encoding than their own, such as "
            f"{misread[0].where} ({misread[0].texts[0][:40]!r}): save the file as UTF-8 anew."
        )
    return said


def doubled(parts: Parts) -> list[Double]:
    """Texts that are there twice, to the letter."""
    placed = [(split, entry) for split, part in parts.items() for entry in part]
    items = [Item(split=split, name=entry.where, label=joined(entry.label)) for split, entry in placed]
    return doubles(items, [(i, j, 1.0) for i, j in exact([entry.texts for _, entry in placed])])


def is_misread(text: str) -> bool:
    """Whether a text has the mark of a lost letter, or is UTF-8 that was read as Windows-1252 or Latin-1."""
    if text.isascii():
        return False
    for encoding in ("cp1252", "latin-1"):
        with suppress(UnicodeError):
            text.encode(encoding).decode("utf-8")
            return True
    return "\ufffd" in text


def lengths(entries: Sequence[Entry], reader: Reader) -> list[int]:
    """Tokens of each, with those that the model wants around."""
    words = reader.vocabulary
    around = len(words.start) + len(words.end)
    return [
        around + sum(len(words.encode(text)) for text in entry.texts) + len(words.between) * (len(entry.texts) - 1)
        for entry in entries
    ]
