"""Texts as files have them, each with its place and label; and data sets of them, or what is wrong."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from selfprompt.data.cells import Label, numbered
from selfprompt.data.datasets import Dataset
from selfprompt.data.examples import Examples
from selfprompt.data.rows import in_order
from selfprompt.errors import UserError

logger = logging.getLogger("selfprompt")


@dataclass(frozen=True)
class Entry:
    """A text, or a pair of texts.

    Args:
        where: It stands.
        texts: One, or two.
        label: Its class's name, or those of all it has where it may have several; None where it is not known.
        group: What it belongs to.
    """

    where: str
    texts: tuple[str, ...]
    label: Label | None
    group: str | None = None

    @property
    def empty(self) -> bool:
        """Whether there is nothing to read."""
        return not any(text.strip() for text in self.texts)

    @property
    def labels(self) -> tuple[str, ...]:
        """All that are known."""
        return () if self.label is None else (self.label,) if isinstance(self.label, str) else self.label


Parts = Mapping[str, Sequence[Entry]]
"""Entries by split."""


def labelled(name: str, parts: Parts) -> dict[str, list[Entry]]:
    """Splits without what has no label; where no test text has one, the validation split is the test."""
    kept = {split: [entry for entry in part if entry.label is not None] for split, part in parts.items()}
    if "test" in kept and not kept["test"]:
        del kept["test"]
        if kept.get("val"):
            kept["test"] = kept.pop("val")
            logger.warning("%s: no test text has a label, so the validation split is the test split.", name)
    for split, part in kept.items():
        before = len(parts.get(split, part))
        if split != "train" and part and len(part) < before:
            logger.warning("%s: %d of %d %s texts have no label: left out.", name, before - len(part), before, split)
    return {"train": list(parts.get("train", ()))} | {
        split: kept[split] for split in ("val", "test") if kept.get(split)
    }


def problems_of(name: str, parts: Parts) -> list[str]:
    """Why a data set cannot be made, in sentences, each with the first place."""

    def first(found: Iterable[Entry], what: str) -> list[str]:
        where = [entry.where for entry in found]
        more = f" (and {len(where) - 1:,} more)" if len(where) > 1 else ""
        return [f"{where[0]}{more} {what}"] if where else []

    every = [entry for part in parts.values() for entry in part]
    train = list(parts["train"]) or every
    if not train:
        return [f"{name} has no texts: add some."]
    problems = first((entry for entry in every if entry.empty), "has no text: fill it in, or remove it.")
    problems += first((entry for entry in every if not is_unicode(entry)), "holds half a character: decode it anew.")
    problems += first((entry for entry in train if entry.label is None), "has no label: fill it in, or remove it.")
    classes = {label for entry in train for label in entry.labels}
    if len(classes) < 2:
        problems.append(f"{name} has one class to train on, and a classifier needs two: add texts of another.")
    strange = [entry for entry in every if not classes.issuperset(entry.labels)]
    if strange:
        odd = next(label for label in strange[0].labels if label not in classes)
        problems += first(strange, f"has the class {odd}, which no training text has: remove it.")
    places: dict[str, str] = {}
    for split, part in parts.items():
        for group in dict.fromkeys(entry.group for entry in part if entry.group is not None):
            if (before := places.setdefault(group, split)) != split:
                problems.append(f"{name} has the group {group} in {before} and in {split}: put it into one of them.")
    return problems


def is_unicode(entry: Entry) -> bool:
    """Whether no text has half of a character."""
    try:
        "".join(entry.texts).encode()
    except UnicodeEncodeError:
        return False
    return True


def dataset_of(
    name: str,
    parts: Parts,
    root: Path | None = None,
    names: Mapping[str, str] | None = None,
    licence: str = "the user's own",
) -> Dataset:
    """Entries as a data set, whose classes are the labels of its training texts, or of all without any, sorted.

    Args:
        name: Its name.
        parts: Entries by split.
        root: The file or folder.
        names: Of the labels, where all of them have one.
        licence: Of the texts.

    Raises:
        UserError: See `problems_of`.
    """
    parts = labelled(name, parts)
    if problems := problems_of(name, parts):
        raise UserError(problems[0])
    known = parts["train"] or [entry for part in parts.values() for entry in part]
    classes = in_order({label for entry in known for label in entry.labels})
    several = any(isinstance(entry.label, tuple) for entry in known)

    def examples(part: Sequence[Entry]) -> Examples:
        groups = [entry.group for entry in part] if any(entry.group is not None for entry in part) else None
        labels = numbered([entry.labels for entry in part], classes, several)
        return Examples([entry.texts for entry in part], labels, None if groups is None else np.array(groups))

    splits = {split: examples(part) for split, part in parts.items()}
    own = {entry.texts for entry in parts["train"]}
    for split, part in parts.items():
        if split != "train" and (shared := sum(entry.texts in own for entry in part)):
            logger.warning("%s: %d of %d %s texts are training texts, too.", name, shared, len(part), split)
    called = [names[label] for label in classes] if names and set(classes) <= names.keys() else classes
    train, val, test = (splits.get(split) for split in ("train", "val", "test"))
    assert train is not None
    return Dataset(name, tuple(called), train, val, test, licence=licence, root=root, inputs="text")
