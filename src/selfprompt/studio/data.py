"""Data: classes, counts and some examples; and, once they are asked for, what the check of every file found."""

from __future__ import annotations

import io
from itertools import islice
from typing import Any, Literal

import numpy as np
from fastapi import APIRouter, HTTPException, Request, Response
from PIL import Image, ImageOps

from selfprompt.data.checks.findings import COLUMNS, Findings
from selfprompt.data.datasets import Dataset
from selfprompt.data.examples import class_counts
from selfprompt.data.images import ImageSource, read_image
from selfprompt.errors import UserError
from selfprompt.studio.offered import Data, of
from selfprompt.studio.pages import Studio

EXAMPLES = 6  # of each class
SHOWN = 60  # findings
CLASSES = 12  # of which examples are shown
SIDE = 224  # pixels of a picture in a page
Split = Literal["train", "val", "test"]


def check(data: Data) -> list[str]:
    """The command that looks through a data set."""
    return ["doctor", *(data.words or (data.located,))]


def counts(dataset: Dataset) -> list[tuple[str, dict[str, int]]]:
    """Each class with its number of examples in each split."""
    found = {
        split: class_counts(part.known_labels, dataset.num_classes).tolist() for split, part in dataset.own.items()
    }
    return [(n, {split: own[i] for split, own in found.items()}) for i, n in enumerate(dataset.class_names)]


def examples(dataset: Dataset) -> list[tuple[str, list[tuple[int, Any]]]]:
    """Some classes, each with the numbers of its first training examples and, of texts, these."""
    labels, texts = dataset.train.known_labels, dataset.inputs == "text"
    own = labels.T if labels.ndim == 2 else labels == np.arange(dataset.num_classes)[:, None]
    first = {i: np.flatnonzero(has)[:EXAMPLES].tolist() for i, has in enumerate(own[:CLASSES])}
    return [
        (dataset.class_names[label], [(i, text(dataset.train.images[i]) if texts else None) for i in places])
        for label, places in first.items()
    ]


def text(example: Any) -> str:
    """A text, or the texts of a pair, in a line."""
    return " | ".join(example)


def picture(image: ImageSource) -> Response:
    """An image of a page's size; the pixels of a small one stay squares."""
    shown, file = read_image(image), io.BytesIO()
    small = max(shown.size) < SIDE
    ImageOps.contain(shown, (SIDE, SIDE), Image.Resampling.NEAREST if small else Image.Resampling.LANCZOS).save(
        file, "PNG"
    )
    return Response(file.getvalue(), media_type="image/png", headers={"Cache-Control": "private, max-age=600"})


def routes(studio: Studio) -> APIRouter:
    """The pages."""
    router, known = APIRouter(prefix="/data/{name}"), studio.offered.data

    @router.get("")
    def page(name: str) -> Response:
        data = of(known, name, "data set")
        try:
            dataset, wrong = studio.dataset(data, anew=True), ""
        except UserError as error:
            dataset, wrong = None, str(error)
        found = (counts(dataset), examples(dataset)) if dataset else ([], [])
        rest = {"wrong": wrong, "check": check(data), "counts": found[0], "examples": found[1]}
        return studio.page("data.html", data=name, dataset=dataset, **rest)

    @router.post("/check")
    async def checked(request: Request, name: str) -> Response:
        facts = await studio.ask(request, check(of(known, name, "data set")))
        problems, found = facts.pop("problems"), Findings.model_validate(facts.pop("findings", {}))
        rows = [[*row] for row in islice(found.rows(), SHOWN)]
        rest = {"found": found, "rows": rows, "head": [column.replace("_", " ") for column in COLUMNS]}
        return studio.page("checked.html", facts=facts, problems=problems, **rest)

    @router.get("/{split}/{place}")
    def image(name: str, split: Split, place: int) -> Response:
        part = studio.dataset(of(known, name, "data set")).own.get(split)
        if part is None or not 0 <= place < len(part):
            raise HTTPException(404, "There is no such image.")
        return picture(part.images[place])

    return router
