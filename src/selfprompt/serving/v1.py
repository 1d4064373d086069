"""/v1: predictions and embeddings of image files, and what adapters there are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, HTTPException, Query, Request
from pydantic import BaseModel, Field

from selfprompt.errors import UserError, none_readable
from selfprompt.scores.calibration import automatic
from selfprompt.serving.bank import Member
from selfprompt.serving.bodies import BODY, images_of
from selfprompt.serving.service import Service

AdapterName = Annotated[str | None, Query(description="May be left out where there is one adapter.", max_length=100)]

Threshold = Annotated[
    Annotated[float, Field(ge=0, le=1)] | Annotated[str, Field(pattern=r"^auto(:0?\.\d{1,9})?$")],
    Field(union_mode="left_to_right"),
    Query(
        description="Least probability of a label; auto:0.9 is what validation says of that precision (auto: 0.95), "
        "or of the next higher one that is kept."
    ),
]


class Guess(BaseModel):
    """A class and its probability."""

    label: str
    probability: float


class Prediction(BaseModel):
    """The answer for one image, named by its file or its number; ``error`` says why there is none."""

    image: str | int
    label: str | None = None
    probability: float | None = None
    top: list[Guess] = []
    abstained: bool = False
    error: str | None = None


class LabelPrediction(BaseModel):
    """That of an adapter whose images may have several labels: those above their thresholds, and the likeliest."""

    image: str | int
    labels: list[str]
    top: list[Guess]


class Predictions(BaseModel):
    """What an adapter says of the images of a request, and which adapter that was."""

    adapter: str
    version: str | None
    protocol: str
    backbone: str
    predictions: list[Prediction | LabelPrediction]


class Embedding(BaseModel):
    """The features of one image; ``error`` says why there are none."""

    image: str | int
    embedding: list[float] | None = None
    error: str | None = None


class Embeddings(BaseModel):
    """Features that a head reads, or, without an adapter, those of the frozen backbone."""

    adapter: str | None
    version: str | None
    backbone: str
    embeddings: list[Embedding]


class Adapter(BaseModel):
    """One adapter, as a model of its own on a backbone."""

    id: str
    object: str = "model"
    parent: str
    classes: list[str]
    version: str | None
    protocol: str


class Adapters(BaseModel):
    """The adapters that are loaded."""

    object: str = "list"
    data: list[Adapter]


def routes(service: Service) -> APIRouter:
    """The routes."""
    router, backbone = APIRouter(prefix="/v1", tags=["v1"]), service.pool.backbone.info.name

    @router.post("/predict", openapi_extra=BODY)
    async def predict(
        request: Request,
        adapter: AdapterName = None,
        top_k: Annotated[int, Query(ge=1, le=1000, description="Likeliest classes to name.")] = 1,
        threshold: Threshold = 0.0,
    ) -> Predictions:
        """The class of each image; one that cannot be read has an error in its place."""
        bank, name, member = service.member(adapter)
        request.state.adapter = name
        least = least_of(member, threshold)
        images = await images_of(request, service.settings)
        found = await service.answers(request, bank, name, "probabilities", [data for _, data in images])
        given = read_of(found)
        predictions = [
            Prediction(image=image, error=str(answer))
            if isinstance(answer, UserError)
            else prediction(image, answer, member, top_k, least)
            for (image, _), answer in zip(images, found)
        ]
        request.state.images = given
        service.metrics.images.labels(name).inc(given)
        abstained = sum(isinstance(p, Prediction) and p.abstained for p in predictions)
        service.metrics.abstained.labels(name).inc(abstained)
        known = {"version": member.version, "protocol": member.protocol.hash, "backbone": backbone}
        return Predictions(adapter=name, predictions=predictions, **known)

    @router.post("/embed", openapi_extra=BODY)
    async def embed(request: Request, adapter: AdapterName = None) -> Embeddings:
        """Features of each image: what the adapter's head reads, or without an adapter the frozen backbone's."""
        bank, name, member = service.member(adapter) if adapter is not None else (service.pool.bank, None, None)
        request.state.adapter = name or ""
        images = await images_of(request, service.settings)
        found = await service.answers(request, bank, name, "features", [data for _, data in images])
        request.state.images = read_of(found)
        embeddings = [
            Embedding(image=image, error=str(answer))
            if isinstance(answer, UserError)
            else Embedding(image=image, embedding=answer.tolist())
            for (image, _), answer in zip(images, found)
        ]
        version = member.version if member else None
        return Embeddings(adapter=name, version=version, backbone=backbone, embeddings=embeddings)

    @router.get("/models")
    def models() -> Adapters:
        """The adapters that are loaded."""
        members = service.pool.bank.members.items()
        return Adapters(data=[Adapter(id=name, parent=backbone, **described(member)) for name, member in members])

    return router


def described(member: Member) -> dict[str, Any]:
    """Classes, version and protocol of an adapter."""
    return {"classes": member.names, "version": member.version, "protocol": member.protocol.hash}


def least_of(member: Member, threshold: float | str) -> float:
    """The least probability of a label; ``auto`` is what the adapter's validation says.

    Raises:
        HTTPException: It says none.
    """
    if not isinstance(threshold, str):
        return threshold
    if member.protocol.multi_label:
        raise HTTPException(400, "Several labels have a threshold each: leave auto out.")
    try:
        return automatic(member.calibration, threshold)
    except UserError as error:
        raise HTTPException(400, str(error)) from None


def prediction(
    image: str | int, probabilities: np.ndarray, member: Member, top_k: int, threshold: float
) -> Prediction | LabelPrediction:
    """The answer for one image; several labels have thresholds of their own, and the one asked for as well."""
    names = member.names
    order = np.argsort(-probabilities, kind="stable")[:top_k]
    top = [Guess(label=names[i], probability=float(probabilities[i])) for i in order]
    if member.protocol.multi_label:
        sure = np.where(probabilities >= threshold, probabilities, -1)
        return LabelPrediction(image=image, labels=member.labels(sure), top=top)
    sure = top[0].probability >= threshold
    label = top[0].label if sure else None
    return Prediction(image=image, label=label, probability=top[0].probability, top=top, abstained=not sure)


def read_of(found: Sequence[np.ndarray | UserError]) -> int:
    """How many images could be read.

    Raises:
        HTTPException: None could.
    """
    errors = [error for error in found if isinstance(error, UserError)]
    if len(errors) == len(found):
        raise HTTPException(400, str(none_readable("image", errors)))
    return len(found) - len(errors)
