"""/v2: the Open Inference Protocol, so that clients and platforms that speak it need nothing of ours."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, HTTPException, Path, Request, Response
from pydantic import BaseModel

import selfprompt
from selfprompt.scores.several import SEPARATOR
from selfprompt.serving.bank import Bank, Member
from selfprompt.serving.service import Service
from selfprompt.serving.tensors import HEADER, Infer, answer, given_in

ModelName = Annotated[str, Path(max_length=100)]
Version = Annotated[str, Path(max_length=100)]
NONE = "none"
"""The version of a model that did not come from files."""


def inlined(node: Any, parts: dict[str, Any]) -> Any:
    """A JSON schema with its parts where they are referred to."""
    if isinstance(node, list):
        return [inlined(item, parts) for item in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        return inlined(parts[node["$ref"].rpartition("/")[2]], parts)
    return {key: inlined(value, parts) for key, value in node.items() if key != "$defs"}


SCHEMA = Infer.model_json_schema()
BODY = {
    "requestBody": {"required": True, "content": {"application/json": {"schema": inlined(SCHEMA, SCHEMA["$defs"])}}}
}


class ServerMetadata(BaseModel):
    """What the server is."""

    name: str = "selfprompt"
    version: str = selfprompt.__version__
    extensions: list[str]


class TensorMetadata(BaseModel):
    """A tensor; -1 is any length."""

    name: str
    datatype: str
    shape: list[int]


class ModelMetadata(BaseModel):
    """What an adapter takes and gives."""

    name: str
    versions: list[str]
    platform: str = "selfprompt"
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


class Output(TensorMetadata):
    """A tensor with its data."""

    data: list[Any] = []
    parameters: dict[str, Any] = {}


class Inferred(BaseModel):
    """An answer."""

    model_name: str
    model_version: str
    id: str | None = None
    outputs: list[Output]


def health(service: Service) -> APIRouter:
    """The routes that orchestrators ask, without a key."""
    router = APIRouter(prefix="/v2/health", tags=["health"])

    @router.get("/live", response_class=Response)
    async def live() -> Response:
        """200 as long as the process answers."""
        return Response()

    @router.get("/ready", response_class=Response)
    async def ready() -> Response:
        """200 while new requests should come here, else 503."""
        return Response(status_code=200 if service.ready else 503)

    return router


def routes(service: Service, extensions: list[str]) -> APIRouter:
    """The routes of models."""
    router, side = APIRouter(prefix="/v2", tags=["v2"]), service.pool.backbone.info.image_size or 0

    def model(name: str, version: str | None) -> tuple[Bank, Member]:
        bank, _, member = service.member(name)
        if version not in (None, member.version or NONE):
            raise HTTPException(404, f"{name!r} has the version {member.version or NONE} alone.")
        return bank, member

    @router.get("")
    def server() -> ServerMetadata:
        """What the server is, and which extensions of the protocol it knows."""
        return ServerMetadata(extensions=extensions)

    @router.get("/models/{name}")
    @router.get("/models/{name}/versions/{version}")
    def metadata(name: ModelName, version: Version | None = None) -> ModelMetadata:
        """What an adapter takes and gives; pixels are UINT8 [-1, 3, S, S] under the same name."""
        _, member = model(name, version)
        return ModelMetadata(
            name=name,
            versions=[member.version or NONE],
            inputs=[TensorMetadata(name="images", datatype="BYTES", shape=[-1])],
            outputs=[
                TensorMetadata(name="probabilities", datatype="FP32", shape=[-1, len(member.names)]),
                TensorMetadata(name="labels", datatype="BYTES", shape=[-1]),
            ],
        )

    @router.get("/models/{name}/ready", response_class=Response)
    @router.get("/models/{name}/versions/{version}/ready", response_class=Response)
    def ready(name: ModelName, version: Version | None = None) -> Response:
        """200 where an adapter is loaded, else 404; 503 while the server is not ready."""
        model(name, version)
        return Response(status_code=200 if service.ready else 503)

    @router.post("/models/{name}/infer", openapi_extra=BODY, response_model=Inferred)
    @router.post("/models/{name}/versions/{version}/infer", openapi_extra=BODY, response_model=Inferred)
    async def infer(request: Request, name: ModelName, version: Version | None = None) -> Response:
        """Probabilities and labels of images, several of one with | between; one that cannot be read refuses the
        request."""
        bank, member = model(name, version)
        request.state.adapter = name
        body, most = await request.body(), service.settings.max_images
        asked, images = await asyncio.to_thread(given_in, body, request.headers.get(HEADER), side, most)
        found = await service.answers(request, bank, name, "probabilities", images, whole=True)
        probabilities = np.stack([row for row in found if isinstance(row, np.ndarray)])
        labels = [SEPARATOR.join(member.labels(row)) for row in probabilities]
        request.state.images = len(labels)
        service.metrics.images.labels(name).inc(len(labels))
        body, length = answer(asked, name, member.version or NONE, probabilities, labels, member.names)
        if length == len(body):
            return Response(body, media_type="application/json")
        return Response(body, media_type="application/octet-stream", headers={HEADER: str(length)})

    return router
