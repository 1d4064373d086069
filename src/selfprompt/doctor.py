"""Looks through an installation or a data set and names everything that is wrong, not the first thing only."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from selfprompt.assembly import build
from selfprompt.backbones import RECORDS
from selfprompt.backbones.base import Backbone
from selfprompt.backbones.clip import DualEncoder
from selfprompt.backbones.load import info, load_backbone
from selfprompt.backbones.text import TextBackbone
from selfprompt.data import sources
from selfprompt.data.batches import Decoded
from selfprompt.data.cells import joined
from selfprompt.data.checks import doubles
from selfprompt.data.checks.findings import SEVERAL, Findings, Item
from selfprompt.data.checks.look import look_at_labels, look_for_doubles, numbered
from selfprompt.data.datasets import Dataset, file_names, places_within, problems_of_split
from selfprompt.data.examples import Examples, class_counts
from selfprompt.data.images import ImageSource, common_range, read_image
from selfprompt.data.sources import load_located, locate, on_disk
from selfprompt.data.sources.folder import Survey
from selfprompt.data.sources.texts import name_of, parts_of
from selfprompt.data.tables import Kind
from selfprompt.data.templates import Reader
from selfprompt.data.text_problems import doubled, doubtful, labels_of, lengths, parts_in
from selfprompt.data.texts import Parts, dataset_of, labelled, problems_of
from selfprompt.data.tree import walk
from selfprompt.errors import UserError
from selfprompt.methods.linear import Linear
from selfprompt.tuning.engine import Engine
from selfprompt.tuning.fixed_features import frozen_features


def check_installation() -> list[str]:
    """Problems of the packaged files: of backbones the header, names and shapes, of data sets all.

    Of data sets that are drawn, the first image of each split is.
    """
    problems = []
    for kind, records, load in (("backbone", RECORDS, info), ("dataset", sources.RECORDS, first_of)):
        for name in (name for record in records.values() if record.brought for name in record.names):
            try:
                load(name)
            except (UserError, OSError, ValueError) as error:
                problems.append(f"{kind} {name}: {error}")
    return problems


def first_of(name: str) -> list[ImageSource | tuple[str, ...]]:
    """The first image or text of each split of a data set, whose files are all read."""
    return [part.images[0] for part in load_located(name).own.values() if len(part)]


def check_tasks(tasks: Iterable[str]) -> tuple[dict[str, str | int | None], list[str]]:
    """Facts and problems of several data sets, by their lists alone; no image is decoded."""
    facts: dict[str, str | int | None] = {}
    problems: list[str] = []
    for task in tasks:
        try:
            dataset = load_located(task)
            sizes = {"train": dataset.train, "val": dataset.val, "test": dataset.test}
            facts[task] = ", ".join(f"{len(v):,} {k}" for k, v in sizes.items() if v is not None)
        except UserError as error:
            facts[task] = "not in order"
            problems.append(str(error))
    return facts, problems


Facts = dict[str, str | int | None]


class Checked(NamedTuple):
    """What is known of a data set, and what is wrong with it.

    Args:
        facts: Classes, images or texts of each split, the smallest and the largest class.
        problems: Each one sentence.
        findings: What may be wrong.
    """

    facts: Facts
    problems: list[str]
    findings: Findings = Findings()


def check_data(data: str, backbone: str | None = None) -> Checked:
    """Facts, problems and findings of a data set; every image is decoded, every text read.

    Args:
        data: What `load_dataset` takes.
        backbone: Whose features labels are judged by; of images the packaged one's if left out, of texts none's.
            Texts are held against how many tokens it takes.
    """
    facts: Facts = {"data": data}
    try:
        located = locate(data)
        model = None if backbone is None else load_backbone(backbone)
        inputs: Kind | None = None if model is None else "text" if isinstance(model, TextBackbone) else "image"
        survey = source = None
        if located.startswith(sources.HUB) or located in sources.names():
            source = load_located(located, inputs)
            name, texts = source.name, parts_in(source) if source.inputs == "text" else None
        else:
            path, columns, kind = on_disk(located, inputs)
            name, texts = name_of(path), None
            if kind == "text":
                texts = labelled(name, parts_of(path, columns))
        if texts is not None:
            return check_texts(facts, source or name, texts, model if isinstance(model, TextBackbone) else None)
        if source is None and Path(located).is_dir():
            survey = Survey(Path(located))
            survey.tell()
        dataset = survey.usable() if survey else source or load_located(located, inputs)
    except UserError as error:
        return Checked(facts, [str(error)])
    problems = list(survey.problems) if survey else []
    if dataset:
        facts |= facts_of(dataset)
        problems += problems_of_split(dataset)
        parts: dict[str, Sequence[ImageSource]] = {split: part.images for split, part in dataset.own.items()}
    else:
        parts = {"": [file.path for file in walk(located)]}
    seen: dict[str, list[Seen | str]] = {}
    with ThreadPoolExecutor() as threads:
        for split, images in parts.items():
            seen[split] = list(threads.map(partial(look_at, images), range(len(images))))
            problems += [found for found in seen[split] if isinstance(found, str)]
    if dataset is None:
        return Checked(facts, list(dict.fromkeys(problems)))
    found = findings_of(dataset, seen, load_backbone("builtin") if model is None else model)
    problems += doubles.problems(found.exact, "image")
    return Checked(facts, list(dict.fromkeys(problems)), found)


def check_texts(facts: Facts, source: Dataset | str, parts: Parts, backbone: TextBackbone | None) -> Checked:
    """`check_data`, of texts."""
    problems = [] if isinstance(source, Dataset) else problems_of(source, parts)
    dataset = source if isinstance(source, Dataset) else None if problems else dataset_of(source, parts)
    if dataset is not None:
        facts |= facts_of(dataset)
        problems += problems_of_split(dataset)
    every = [entry for part in parts.values() for entry in part]
    words = [sum(len(text.split()) for text in entry.texts) for entry in every]
    facts["words"] = f"{statistics.median(words):.0f} in the median, {max(words):,} at most" if words else 0
    found = Findings(exact=doubled(parts))
    problems += doubtful(parts, found.exact)
    if backbone is not None and every:
        reader = Reader(backbone.vocabulary, backbone.kind, backbone.num_patches)
        tokens = lengths(every, reader)
        facts["tokens"] = f"{statistics.median(tokens):.0f} in the median, {max(tokens):,} at most"
        if long := [entry for entry, count in zip(every, tokens) if count > reader.longest]:
            problems.append(
                f"{len(long):,} of {len(every):,} text(s) are longer than the {reader.longest:,} tokens that "
                f"{backbone.info.name} takes, such as {long[0].where}: their ends are cut, so shorten them."
            )
        if dataset is not None:
            items = [Item(split=s, name=e.where, label=joined(e.label)) for s in dataset.own for e in parts[s]]
            found = judged(found, dataset, items, dataset.own, backbone)
    return Checked(facts, problems, found)


Seen = tuple[bytes, NDArray[np.uint8]]


def look_at(images: Sequence[ImageSource], i: int) -> Seen | str:
    """The hash and the small picture of one of some images (see `doubles.fingerprint`), or what is wrong with it."""
    try:
        return doubles.fingerprint(read_image(images[i]))
    except UserError as error:
        return str(error)


def findings_of(
    dataset: Dataset, seen: Mapping[str, Sequence[Seen | str]], backbone: Backbone | DualEncoder
) -> Findings:
    """Doubles among the images that can be read, and labels that look wrong."""
    items: list[Item] = []
    fingerprints: list[Seen] = []
    kept: dict[str, Examples] = {}
    for split, part in dataset.own.items():
        readable = [i for i, found in enumerate(seen[split]) if not isinstance(found, str)]
        kept[split] = part.take(np.array(readable, dtype=np.int64))
        fingerprints += [found for found in seen[split] if not isinstance(found, str)]
        numbers = [f"{dataset.name}, {split} image {i}" for i in range(len(part))]
        names = file_names(part) or places_within(part) or numbers
        labels = labels_of(part, dataset.class_names)
        items += [Item(split=split, name=names[i], label=joined(labels[i])) for i in readable]
    found = look_for_doubles(items, [key for key, _ in fingerprints], [small for _, small in fingerprints])
    return judged(found, dataset, items, kept, backbone)


def judged(
    found: Findings,
    dataset: Dataset,
    items: Sequence[Item],
    parts: Mapping[str, Examples],
    backbone: Backbone | DualEncoder,
) -> Findings:
    """What was found, with the labels that look wrong by the frozen backbone's features of some parts."""
    if dataset.train.multi_label:
        return found.model_copy(update={"left_out": [*found.left_out, SEVERAL]})
    try:
        model = build(Linear(readout="backbone"), backbone, dataset.num_classes)
        model.protocol = model.protocol.completed(dataset.train)
        engine = Engine()
        engine.place(model)
        with engine.computing(model), engine.autocast():
            rows = [
                frozen_features(model, Decoded(part, model.protocol, keep=False), 64)
                for part in parts.values()
                if len(part)
            ]
    except UserError as error:
        return found.model_copy(update={"left_out": [f"labels: {error}"]})
    if not rows:
        return found
    features, labels = (torch.cat(parts).numpy() for parts in zip(*((r.features, r.labels) for r in rows)))
    groups = numbered([part.groups for part in parts.values()], [len(part) for part in parts.values()])
    return look_at_labels(found, items, dataset.class_names, features, labels, groups, model.backbone.info.name)


def facts_of(dataset: Dataset) -> Facts:
    """Classes, sizes and licence, and how images of more than 8 bits are scaled."""
    splits = {"train": dataset.train, "val": dataset.val, "test": dataset.test}
    sizes = {
        f"{k} {dataset.inputs}s": len(v) if v is not None else "none, will be cut from train"
        for k, v in splits.items()
    }
    span = common_range(dataset.train.images) if dataset.inputs == "image" else None
    counts = class_counts(dataset.train.known_labels, dataset.num_classes)
    smallest, largest = int(counts.argmin()), int(counts.argmax())
    return {
        "classes": dataset.num_classes,
        **sizes,
        "smallest class": f"{dataset.class_names[smallest]} ({counts[smallest]})",
        "largest class": f"{dataset.class_names[largest]} ({counts[largest]})",
        "licence": dataset.licence,
    } | ({"images of more than 8 bits": f"{span[0]:,g} is black, {span[1]:,g} is white"} if span else {})
