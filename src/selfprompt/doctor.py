"""Looks through an installation or a data set and names everything that is wrong, not the first thing only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from selfprompt import registry
from selfprompt.backbones import load_backbone
from selfprompt.data import sources
from selfprompt.data.datasets import Dataset, Examples, problems_of_split
from selfprompt.data.images import read_image
from selfprompt.data.sources import load_dataset
from selfprompt.data.sources.folder import find_split_folders, images_below, subfolders
from selfprompt.errors import UserError


def check_installation() -> list[str]:
    """Problems of the packaged files: each one loaded."""
    problems = []
    packaged: list[tuple[registry.Kind, str]] = []
    packaged.extend(("backbone", name) for name in registry.names("backbone"))
    packaged.extend(("dataset", name) for name in sources.names())
    for kind, name in packaged:
        supports = registry.module(kind, name.partition("/")[0]).RECORD.supports
        if any(s.startswith(("extra: ", "debian: ", "on disk")) for s in supports):
            continue
        try:
            load_backbone(name) if kind == "backbone" else load_dataset(name)
        except (UserError, OSError, ValueError) as error:
            problems.append(f"{kind} {name}: {error}")
    return problems


def check_tasks(tasks: Iterable[str]) -> tuple[dict[str, Any], list[str]]:
    """Facts and problems of several data sets, by their lists alone; no image is decoded."""
    facts: dict[str, Any] = {}
    problems: list[str] = []
    for task in tasks:
        try:
            dataset = load_dataset(task)
            sizes = {"train": dataset.train, "val": dataset.val, "test": dataset.test}
            facts[task] = ", ".join(f"{len(v):,} {k}" for k, v in sizes.items() if v is not None)
        except UserError as error:
            facts[task] = "not in order"
            problems.append(str(error))
    return facts, problems


def check_data(data: str) -> tuple[dict[str, Any], list[str]]:
    """Facts and problems of a data set; every image is decoded.

    Returns:
        Facts (classes, images of each split, the smallest class), and problems, each one sentence.
    """
    problems: list[str] = []
    examples: list[Examples] = []
    facts: dict[str, Any] = {"data": data}
    try:
        dataset = load_dataset(data)
    except UserError as error:
        problems.append(str(error))
        if Path(data).is_dir():
            problems += [f"{f} has no images: add some, or remove the folder." for f in empty_classes(Path(data))]
    else:
        facts |= facts_of(dataset)
        examples = [s for s in (dataset.train, dataset.val, dataset.test) if s is not None]
        problems += problems_of_split(dataset)
    sources = [image for part in examples for image in part.images] or (
        list(images_below(Path(data))) if Path(data).is_dir() else []
    )
    with ThreadPoolExecutor() as threads:
        problems += [p for p in threads.map(problem_of, sources) if p]
    return facts, list(dict.fromkeys(problems))


def facts_of(dataset: Dataset) -> dict[str, Any]:
    """Classes, sizes and licence."""
    splits = {"train": dataset.train, "val": dataset.val, "test": dataset.test}
    sizes = {f"{k} images": len(v) if v is not None else "none, will be cut from train" for k, v in splits.items()}
    smallest, count = Counter(dataset.class_names[i] for i in dataset.train.labels).most_common()[-1]
    return {
        "classes": dataset.num_classes,
        **sizes,
        "smallest class": f"{smallest} ({count})",
        "licence": dataset.licence,
    }


def empty_classes(root: Path) -> list[Path]:
    """Class folders without an image, in any split."""
    roots = list(find_split_folders(root).values()) or [root]
    return [folder for split in roots for folder in subfolders(split) if not images_below(folder)]


def problem_of(source: Any) -> str | None:
    """What is wrong with one image, if anything."""
    try:
        read_image(source)
    except UserError as error:
        return str(error)
    return None
