"""Looks through an installation or a data set and names everything that is wrong, not the first thing only."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from selfprompt.backbones import RECORDS
from selfprompt.backbones.load import info, load_backbone
from selfprompt.backbones.text import TextBackbone
from selfprompt.data import sources
from selfprompt.data.datasets import Dataset, problems_of_split
from selfprompt.data.examples import class_counts
from selfprompt.data.images import ImageSource, common_range, read_image
from selfprompt.data.sources import load_located, locate, on_disk
from selfprompt.data.sources.folder import Survey
from selfprompt.data.sources.texts import name_of, parts_of
from selfprompt.data.tables import Kind
from selfprompt.data.templates import Reader
from selfprompt.data.text_problems import doubtful, lengths, parts_in
from selfprompt.data.texts import Parts, dataset_of, labelled, problems_of
from selfprompt.data.tree import walk
from selfprompt.errors import UserError


def check_installation() -> list[str]:
    """Problems of the packaged files: of backbones the header, names and shapes, of data sets all."""
    problems = []
    for kind, records, load in (("backbone", RECORDS, info), ("dataset", sources.RECORDS, load_located)):
        for name in (name for record in records.values() if record.brought for name in record.names):
            try:
                load(name)
            except (UserError, OSError, ValueError) as error:
                problems.append(f"{kind} {name}: {error}")
    return problems


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


def check_data(data: str, backbone: str | None = None) -> tuple[dict[str, str | int | None], list[str]]:
    """Facts and problems of a data set; every image is decoded, every text read.

    Args:
        data: What `load_dataset` takes.
        backbone: What it is for: texts are then held against how many tokens it takes.

    Returns:
        Facts (classes, images or texts of each split, the smallest class), and problems, each one sentence.
    """
    facts: dict[str, str | int | None] = {"data": data}
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
        return facts, [str(error)]
    problems = list(survey.problems) if survey else []
    if dataset:
        facts |= facts_of(dataset)
        problems += problems_of_split(dataset)
        parts: list[Sequence[ImageSource]] = [part.images for part in dataset.own.values()]
    else:
        parts = [[file.path for file in walk(located)]]
    with ThreadPoolExecutor() as threads:
        for images in parts:
            problems += [p for p in threads.map(partial(problem_of, images), range(len(images))) if p]
    return facts, list(dict.fromkeys(problems))


def check_texts(
    facts: dict[str, str | int | None], source: Dataset | str, parts: Parts, backbone: TextBackbone | None
) -> tuple[dict[str, str | int | None], list[str]]:
    """`check_data`, of texts."""
    problems = [] if isinstance(source, Dataset) else problems_of(source, parts)
    if not problems:
        dataset = source if isinstance(source, Dataset) else dataset_of(source, parts)
        facts |= facts_of(dataset)
        problems += problems_of_split(dataset)
    every = [entry for part in parts.values() for entry in part]
    words = [sum(len(text.split()) for text in entry.texts) for entry in every]
    facts["words"] = f"{statistics.median(words):.0f} in the median, {max(words):,} at most" if words else 0
    problems += doubtful(parts)
    if backbone is not None and every:
        reader = Reader(backbone.vocabulary, backbone.kind, backbone.num_patches)
        tokens = lengths(every, reader)
        facts["tokens"] = f"{statistics.median(tokens):.0f} in the median, {max(tokens):,} at most"
        if long := [entry for entry, count in zip(every, tokens) if count > reader.longest]:
            problems.append(
                f"{len(long):,} of {len(every):,} text(s) are longer than the {reader.longest:,} tokens that "
                f"{backbone.info.name} takes, such as {long[0].where}: their ends are cut, so shorten them."
            )
    return facts, problems


def facts_of(dataset: Dataset) -> dict[str, str | int | None]:
    """Classes, sizes and licence, and how images of more than 8 bits are scaled."""
    splits = {"train": dataset.train, "val": dataset.val, "test": dataset.test}
    sizes = {
        f"{k} {dataset.inputs}s": len(v) if v is not None else "none, will be cut from train"
        for k, v in splits.items()
    }
    span = common_range(dataset.train.images) if dataset.inputs == "image" else None
    counts = class_counts(dataset.train.known_labels, dataset.num_classes)
    smallest = int(counts.argmin())
    return {
        "classes": dataset.num_classes,
        **sizes,
        "smallest class": f"{dataset.class_names[smallest]} ({counts[smallest]})",
        "licence": dataset.licence,
    } | ({"images of more than 8 bits": f"{span[0]:,g} is black, {span[1]:,g} is white"} if span else {})


def problem_of(images: Sequence[ImageSource], i: int) -> str | None:
    """What is wrong with one of some images, if anything."""
    try:
        read_image(images[i])
    except UserError as error:
        return str(error)
    return None
