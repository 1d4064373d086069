"""Look: what is taken for what, with the examples; the surest mistakes; where prompts came from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from fastapi import APIRouter, HTTPException, Response

from selfprompt.errors import UserError
from selfprompt.files import damaged
from selfprompt.markup import visible
from selfprompt.reports.run import prompt_origins, surest_mistakes
from selfprompt.reports.words import words_section
from selfprompt.runs.record import NAME as ANALYSIS
from selfprompt.runs.record import Analysis, read_analysis
from selfprompt.scores.calibration import tempered
from selfprompt.scores.several import above, told
from selfprompt.studio.data import picture, text
from selfprompt.studio.offered import of
from selfprompt.studio.pages import Studio
from selfprompt.tuning.answers import FIX, Answers, read_answers
from selfprompt.tuning.answers import NAME as ANSWERS
from selfprompt.tuning.records import METRICS, Tested, read_metrics

NAMED = 30
"""Classes beyond which pairs are listed in the place of a matrix."""
SHOWN = 60
"""Examples of one cell."""
PAIRS = 40


def matrix(found: Analysis) -> np.ndarray:
    """(C, C) counts of true classes by predicted ones."""
    counts = np.zeros((len(found.classes),) * 2, dtype=int)
    for label, predicted, images in found.confusion:
        counts[label, predicted] = images
    return counts


def shades(counts: np.ndarray) -> np.ndarray:
    """(C, C) tenths of each row that a cell has, rounded up."""
    return np.ceil(10 * counts / np.maximum(1, counts.sum(axis=1, keepdims=True))).astype(int)


def pairs(counts: np.ndarray) -> list[tuple[int, int, int]]:
    """True class, predicted one and count of what is most often taken for something else."""
    wrong = counts * (1 - np.eye(len(counts), dtype=int))
    order = np.argsort(-wrong, axis=None, kind="stable")[:PAIRS]
    rows = [(int(i), int(j), int(wrong[i, j])) for i, j in zip(*np.unravel_index(order, wrong.shape))]
    return [row for row in rows if row[2]]


def tested_in(folder: Path) -> tuple[Tested, Answers | None]:
    """What a run measured in its test, and what it answered there, several labels by its thresholds.

    Raises:
        UserError: A file is missing or damaged.
    """
    metrics, found = read_metrics(folder, Tested), read_answers(folder).get("test")
    metric, scores = metrics.get("metric"), metrics.get("scores", {})
    if metric is not None and metric not in scores:
        raise damaged(folder / METRICS, f"it has no {metric}", FIX)
    if found is None or "map" not in scores:
        return metrics, found
    bounds = [row["threshold"] for row in scores["per_class"]]
    if found.labels.shape != found.probabilities.shape or found.labels.shape[1] != len(bounds):
        raise damaged(folder / ANSWERS, f"its labels are not those of {METRICS}", FIX)
    return metrics, replace(found, thresholds=bounds)


def labels_of(folder: Path) -> dict[str, Any] | None:
    """The scores of a run whose examples may have several labels, and each class's; None where they have one.

    Raises:
        UserError: A file is missing or damaged.
    """
    metrics, answers = tested_in(folder)
    scores = metrics.get("scores")
    if scores is None or "map" not in scores:
        return None
    counts = [None] * len(scores["per_class"]) if answers is None else right_missed_wrong(answers)
    line = told(scores)
    return {"told": line[:1].upper() + line[1:], "rows": list(zip(scores["per_class"], counts))}


def right_missed_wrong(found: Answers) -> list[tuple[int, int, int]]:
    """For each of several labels, examples that are given it rightly, lack it wrongly, and are given it wrongly."""
    own, given = found.labels, above(found.probabilities, found.thresholds)
    counts = [(own & given).sum(axis=0), (own & ~given).sum(axis=0), (given & ~own).sum(axis=0)]
    return [(int(right), int(missed), int(wrong)) for right, missed, wrong in zip(*counts)]


def examples_of(
    found: Answers, temperature: float, true: int | None, predicted: int | None
) -> tuple[np.ndarray, np.ndarray]:
    """The places of the examples of a class that are taken for one, the surest first, and how sure each is.

    Of several labels these are examples that have ``true`` and are given ``predicted``, which are one class; where
    one of the two is None, those that do not have it, or are not given it.

    Raises:
        HTTPException: There is no such class.
    """
    classes, several = found.probabilities.shape[1], found.labels.ndim == 2
    asked = {true, predicted} - {None} if several else {true, predicted}
    if (several and len(asked) != 1) or not all(one is not None and 0 <= one < classes for one in asked):
        raise HTTPException(404, "There is no such class.")
    if several:
        (label,) = asked
        sure, given = found.probabilities[:, label], above(found.probabilities, found.thresholds)[:, label]
        own = (found.labels[:, label] == (true is not None)) & (given == (predicted is not None))
        sign = -1 if predicted is not None else 1  # of those that are not given it, the least likely first
    else:
        sure, sign = tempered(found.probabilities, temperature)[:, predicted], -1
        own = (found.labels == true) & (found.predicted == predicted)
    places = np.flatnonzero(own)
    places = places[np.argsort(sign * sure[places], kind="stable")]
    return places, sure[places]


def titled(classes: Sequence[str], true: int | None, predicted: int | None) -> str:
    """What a class is taken for; of several labels, what is done with it."""
    names = {one: visible(classes[one], 40) for one in (true, predicted) if one is not None}
    if true is None or predicted is None:
        return f"{next(iter(names.values()))}, {'given wrongly' if true is None else 'not given'}"
    return names[true] if true == predicted else f"{names[true]}, taken for {names[predicted]}"


def routes(studio: Studio) -> APIRouter:
    """The pages."""
    router = APIRouter(prefix="/runs/{name}")

    def cell_of(name: str, classes: Sequence[str], true: int | None, predicted: int | None) -> dict[str, Any]:
        folder = studio.offered.folder(name)
        metrics, answers = tested_in(folder)
        found = of({"test": answers} if answers else {}, "test", "list of answers")
        examples = studio.tested(folder).test
        own, sure = examples_of(found, metrics.get("temperature", 1.0), true, predicted)
        texts = bool(len(examples)) and isinstance(examples.images[0], tuple)
        rows = [
            (i, text(examples.images[i]) if texts else found.names[i], 100 * value)
            for i, value in zip(own[:SHOWN].tolist(), sure.tolist())
        ]
        title = titled(classes, true, predicted)
        return {"rows": rows, "count": len(own), "texts": texts, "title": title, "name": name}

    @router.get("/look")
    def page(name: str, true: int | None = None, predicted: int | None = None) -> Response:
        steps = studio.steps(name)
        folder = steps["folder"]
        again = ["report", str(folder)]
        if not (folder / ANALYSIS).is_file():
            return studio.page("look.html", **steps, found=None, again=again)
        found, thumbnails = read_analysis(folder)
        counts = matrix(found)
        small = len(found.classes) <= NAMED
        cell, wrong = None, ""
        if true is not None or predicted is not None:
            try:
                cell = cell_of(name, found.classes, true, predicted)
            except UserError as error:
                wrong = str(error)
        rest = {
            "found": found,
            "again": again,
            "labels": labels_of(folder),
            "counts": counts.tolist() if small else None,
            "shades": shades(counts).tolist() if small else None,
            "pairs": pairs(counts),
            "wrong": int(counts.sum() - counts.trace()),
            "total": int(counts.sum()),
            "cell": cell,
            "refused": wrong,
            "mistakes": surest_mistakes(found, thumbnails),
            "origins": prompt_origins(found.prompts, found.grid, thumbnails) if found.prompts else None,
            "words": words_section(found.words) if found.words else None,
        }
        return studio.page("look.html", **steps, **rest)

    @router.get("/cell")
    def cell(name: str, true: int | None = None, predicted: int | None = None) -> Response:
        classes = studio.tested(studio.offered.folder(name)).class_names
        return studio.page("cell.html", cell=cell_of(name, classes, true, predicted))

    @router.get("/image/{place}")
    def image(name: str, place: int) -> Response:
        images = studio.tested(studio.offered.folder(name)).test.images
        if not 0 <= place < len(images):
            raise HTTPException(404, "There is no such image.")
        return picture(images[place])

    return router
