"""What is wrong with texts that could be trained on all the same: doubles, two labels, encodings, lengths."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress

from selfprompt.data.cells import Label
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
            if any(map(is_misread, entry.texts)):
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
            f"{misread[0].where} ({misread[0].texts[0][:40]!r}): save the file as UTF-8 anew."
        )
    return problems


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
