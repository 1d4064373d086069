"""Looks through an installation or a data set and names everything that is wrong, not the first thing only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from selfprompt.backbones import RECORDS
from selfprompt.backbones.load import info
from selfprompt.data import sources
from selfprompt.data.datasets import Dataset, problems_of_split
from selfprompt.data.images import ImageSource, common_range, read_image
from selfprompt.data.sources import load_located, locate
from selfprompt.data.sources.folder import Survey
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


def check_data(data: str) -> tuple[dict[str, str | int | None], list[str]]:
    """Facts and problems of a data set; every image is decoded.

    Returns:
        Facts (classes, images of each split, the smallest class), and problems, each one sentence.
    """
    facts: dict[str, str | int | None] = {"data": data}
    try:
        located = locate(data)
        survey = Survey(Path(located)) if Path(located).is_dir() and Path(located).is_absolute() else None
        if survey:
            survey.tell()
        dataset = survey.usable() if survey else load_located(located)
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


def facts_of(dataset: Dataset) -> dict[str, str | int | None]:
    """Classes, sizes and licence, and how images of more than 8 bits are scaled."""
    splits = {"train": dataset.train, "val": dataset.val, "test": dataset.test}
    sizes = {f"{k} images": len(v) if v is not None else "none, will be cut from train" for k, v in splits.items()}
    span = common_range(dataset.train.images)
    smallest, count = Counter(dataset.class_names[i] for i in dataset.train.known_labels).most_common()[-1]
    return {
        "classes": dataset.num_classes,
        **sizes,
        "smallest class": f"{smallest} ({count})",
        "licence": dataset.licence,
    } | ({"images of more than 8 bits": f"{span[0]:,g} is black, {span[1]:,g} is white"} if span else {})


def problem_of(images: Sequence[ImageSource], i: int) -> str | None:
    """What is wrong with one of some images, if anything."""
    try:
        read_image(images[i])
    except UserError as error:
        return str(error)
    return None
