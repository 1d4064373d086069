"""Try: an adapter's answers for images that are dropped, or texts; what a threshold keeps, and how much is right."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Body, Request, Response

from selfprompt.adapters.format import AdapterConfig, read_adapter
from selfprompt.files import damaged
from selfprompt.runs.predict import predict
from selfprompt.scores.calibration import tempered
from selfprompt.scores.intervals import wilson
from selfprompt.scores.several import above, bounds_of
from selfprompt.serving.bodies import images_of
from selfprompt.studio.pages import Studio
from selfprompt.tuning.answers import FIX, NAME, Answers, read_answers

TOP = 3
STEPS = 100
"""Thresholds between 0 and 1."""


def kept(answers: Answers, temperature: float) -> list[dict[str, float]]:
    """For each of so many thresholds, how many validation examples it keeps, and how often these are right.

    ``coverage``, ``precision`` and the lower end of its Wilson interval, ``least``, are in percent; where nothing is
    kept the last two are left out.
    """
    sure = tempered(answers.probabilities, temperature).max(axis=1)
    found = []
    for threshold in np.arange(STEPS + 1) / STEPS:
        own = answers.right[sure >= threshold]
        one = {"threshold": float(threshold), "coverage": 100 * len(own) / len(sure), "count": len(own)}
        if len(own):
            least, _ = wilson(own.sum(), len(own))
            one |= {"precision": 100 * float(own.mean()), "least": 100 * float(least)}
        found.append(one)
    return found


def labels_given(answers: Answers, own: Sequence[float]) -> list[dict[str, float]]:
    """For each of so many thresholds, how many labels it gives to validation examples, and how often they are right.

    The first, 0, stands for each class's own. ``precision`` and ``recall`` are those of all labels together, in
    percent; where none is given there is no ``precision``.

    Args:
        answers: Where examples may have several labels.
        own: Each class's threshold.
    """
    found = []
    for threshold in np.arange(STEPS + 1) / STEPS:
        given = above(answers.probabilities, [threshold] * len(own) if threshold else own)
        right, count = int((given & answers.labels).sum()), int(given.sum())
        one = {"threshold": float(threshold), "count": count, "recall": 100 * right / max(1, answers.labels.sum())}
        found.append(one | ({"precision": 100 * right / count} if count else {}))
    return found


def curve(folder: Path, config: AdapterConfig) -> list[dict[str, float]]:
    """What thresholds do to validation examples; nothing where none were kept.

    Raises:
        UserError: The file of answers is damaged.
    """
    answers = read_answers(folder).get("val")
    if answers is None or not len(answers.labels):
        return []
    several = config.protocol.multi_label
    if answers.probabilities.shape[1] != config.num_classes or (answers.labels.ndim == 2) != several:
        raise damaged(folder / NAME, "it is of another adapter", FIX)
    if several:
        return labels_given(answers, bounds_of(config.thresholds, config.num_classes).tolist())
    return kept(answers, config.calibration.temperature if config.calibration else 1.0)


def adapter_of(studio: Studio, name: str) -> tuple[Path, AdapterConfig]:
    """An adapter's folder and its configuration.

    Raises:
        HTTPException: There is none of that name.
        UserError: It is damaged, or its backbone is a file that was not offered.
    """
    folder = studio.offered.folder(name)
    config, _ = read_adapter(folder)
    studio.offered.must_have(config.backbone.name)
    return folder, config


def routes(studio: Studio) -> APIRouter:
    """The pages."""
    router = APIRouter(prefix="/adapters/{name}")

    def answered(folder: Path, config: AdapterConfig, inputs: Any) -> list[Any]:
        several = config.protocol.multi_label
        with studio.computing:
            found: list[Any] = predict(folder, inputs, top_k=None if several else min(TOP, config.num_classes))
        for one in found:
            if "probabilities" in one:  # by name, whose order a page does not keep
                one["top"] = [{"label": n, "probability": p} for n, p in one.pop("probabilities").items()]
        return found

    @router.get("/try")
    def page(name: str) -> Response:
        folder, config = adapter_of(studio, name)
        several = config.protocol.multi_label
        rest = {
            "curve": curve(folder, config),
            "own": bounds_of(config.thresholds, config.num_classes).tolist() if several else None,
            "suggested": [t for t in config.calibration.thresholds if t.coverage < 1] if config.calibration else [],
            "texts": config.protocol.inputs == "text",
            "most": studio.service.settings.max_images,
        }
        return studio.page("try.html", **studio.steps(name), **rest)

    @router.post("/images")
    async def images(request: Request, name: str) -> dict[str, Any]:
        folder, config = await asyncio.to_thread(adapter_of, studio, name)
        named = await images_of(request, studio.service.settings)
        found = await asyncio.to_thread(answered, folder, config, [data for _, data in named])
        for i, ((file, _), one) in enumerate(zip(named, found)):
            one["image"] = str(file)
            if "error" in one:  # where files have names
                one["error"] = one["error"].removeprefix(f"Image number {i}: ")
        return {"predictions": found}

    @router.post("/texts")
    def texts(name: str, texts: Annotated[list[str], Body(embed=True, max_length=1000)]) -> dict[str, Any]:
        folder, config = adapter_of(studio, name)
        return {"predictions": answered(folder, config, texts)}

    return router
