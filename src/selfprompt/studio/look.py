"""Look: what is taken for what, with the examples; the surest mistakes; where prompts came from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from fastapi import APIRouter, HTTPException, Response

from selfprompt.errors import UserError
from selfprompt.reports.run import prompt_origins, surest_mistakes
from selfprompt.reports.words import words_section
from selfprompt.runs.record import NAME as ANALYSIS
from selfprompt.runs.record import Analysis, read_analysis
from selfprompt.scores.calibration import tempered
from selfprompt.studio.data import picture
from selfprompt.studio.offered import of
from selfprompt.studio.pages import Studio
from selfprompt.tuning.answers import Answers, read_answers
from selfprompt.tuning.records import Tested, read_metrics

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


def answers_in(folder: Path) -> Answers:
    """What was answered for each test example.

    Raises:
        HTTPException: The run has kept no answers.
    """
    return of(read_answers(folder), "test", "list of answers")


def routes(studio: Studio) -> APIRouter:
    """The pages."""
    router = APIRouter(prefix="/runs/{name}")

    def cell_of(name: str, label: int, predicted: int) -> dict[str, Any]:
        folder = studio.offered.folder(name)
        found, examples = answers_in(folder), studio.tested(folder).test
        if not 0 <= max(label, predicted) < found.probabilities.shape[1] or min(label, predicted) < 0:
            raise HTTPException(404, "There is no such class.")
        temperature = read_metrics(folder, Tested).get("temperature", 1.0)
        sure = tempered(found.probabilities, temperature)[:, predicted]
        own = np.flatnonzero((found.labels == label) & (found.predicted == predicted))
        own = own[np.argsort(-sure[own], kind="stable")]
        texts = bool(len(examples)) and isinstance(examples.images[0], tuple)
        rows = [(i, " | ".join(examples.images[i]) if texts else found.names[i], 100 * sure[i]) for i in own[:SHOWN]]
        return {"rows": rows, "count": len(own), "texts": texts, "label": label, "predicted": predicted, "name": name}

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
        if true is not None and predicted is not None:
            try:
                cell = cell_of(name, true, predicted) | {"classes": found.classes}
            except UserError as error:
                wrong = str(error)
        rest = {
            "found": found,
            "again": again,
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
    def cell(name: str, true: int, predicted: int) -> Response:
        classes = list(studio.tested(studio.offered.folder(name)).class_names)
        return studio.page("cell.html", cell=cell_of(name, true, predicted) | {"classes": classes})

    @router.get("/image/{place}")
    def image(name: str, place: int) -> Response:
        images = studio.tested(studio.offered.folder(name)).test.images
        if not 0 <= place < len(images):
            raise HTTPException(404, "There is no such image.")
        return picture(images[place])

    return router
