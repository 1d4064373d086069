"""Tensors of the Open Inference Protocol, in JSON or in the binary extension, and the likeliest classes as texts.

Source: github.com/kserve/open-inference-protocol (REST), and Triton's "Binary Tensor Data Extension" and
"Classification Extension".
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import struct
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

from selfprompt.errors import UserError

HEADER = "Inference-Header-Content-Length"
"""How many of a body's bytes are JSON; the tensors' bytes follow, in their order."""


class Parameters(BaseModel):
    """What is said of a tensor."""

    shared_memory_region: None = None

    @field_validator("shared_memory_region", mode="before")
    @classmethod
    def unshared(cls, region: Any) -> Any:
        """Refuse memory that client and server would share."""
        if region is not None:
            raise ValueError("the server shares no memory, so let tensors be in the request and in its answer")
        return region


class AskedParameters(Parameters):
    """Whether an output comes in binary, and of how many of the likeliest classes."""

    binary_data: bool | None = Field(default=None, strict=True)
    classification: int | None = Field(default=None, strict=True, ge=1)


class Asked(BaseModel):
    """An output that is asked for."""

    name: Literal["probabilities", "labels"]
    parameters: AskedParameters = AskedParameters()

    @model_validator(mode="after")
    def classified(self) -> Asked:
        """Refuse classes of labels."""
        if self.name == "labels" and self.parameters.classification:
            raise ValueError("classification is of probabilities, so leave it out")
        return self


class GivenParameters(Parameters):
    """How many bytes after the JSON are the input's."""

    binary_data_size: int | None = Field(default=None, strict=True, ge=0)


class Given(BaseModel):
    """The input: BYTES [N] of image files (in JSON as base64), or UINT8 [N, 3, S, S] of resized pixels."""

    name: Literal["images"]
    datatype: Literal["BYTES", "UINT8"]
    shape: list[int] = Field(min_length=1, max_length=4)
    parameters: GivenParameters = GivenParameters()
    data: list[Any] | None = None


class Infer(BaseModel):
    """A request for inference."""

    id: str | None = None
    parameters: dict[str, Any] = {}
    inputs: list[Given] = Field(min_length=1, max_length=1)
    outputs: list[Asked] = Field(default=[], max_length=2)

    @field_validator("outputs")
    @classmethod
    def once(cls, asked: list[Asked]) -> list[Asked]:
        """Refuse an output that is asked for twice."""
        if len({one.name for one in asked}) < len(asked):
            raise ValueError("an output is asked for twice")
        return asked


def parsed(body: bytes, header: str | None) -> tuple[Infer, bytes]:
    """A body's JSON, and what follows it.

    Raises:
        UserError: It is something else.
    """
    number = header is not None and header.isascii() and header.isdigit() and len(header) < 20
    length = len(body) if header is None else int(header) if number else -1
    if not 0 <= length <= len(body):
        raise UserError(f"{HEADER} is {header!r:.40}: give how many of the body's bytes are JSON.")
    try:
        return Infer.model_validate_json(body[:length]), body[length:]
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise UserError(f"The request is not valid ({where}: {first['msg']}).") from None


def given_in(body: bytes, header: str | None, side: int, most: int) -> tuple[Infer, list[bytes] | list[np.ndarray]]:
    """A body's request and its images; arguments and errors as of `parsed` and `images_in`."""
    asked, binary = parsed(body, header)
    return asked, images_in(asked.inputs[0], binary, side, most)


def images_in(given: Given, binary: bytes, side: int, most: int) -> list[bytes] | list[np.ndarray]:
    """The images of a request: files' bytes, or (3, S, S) pixels.

    Raises:
        UserError: They are of another shape, or not what they are said to be.
    """
    count, rest = given.shape[0], given.shape[1:]
    if not 1 <= count <= most:
        raise UserError(f"There are {count} images: give 1 to {most}.")
    if given.datatype == "BYTES" and rest not in ([], [1]):
        raise UserError(f"The images have the shape {given.shape}: give files as [N].")
    if given.datatype == "UINT8" and rest != [3, side, side]:
        raise UserError(f"The images have the shape {given.shape}: give pixels as [N, 3, {side}, {side}].")
    size = given.parameters.binary_data_size
    if (size is None) == (given.data is None) or (size if size is not None else 0) != len(binary):
        raise UserError("The images are either data in JSON, or binary_data_size bytes after it.")
    if given.datatype == "UINT8":
        return list(pixels(given, binary).reshape(given.shape))
    files = unpacked(binary) if given.data is None else [decoded(text) for text in flat(given.data)]
    if len(files) != count:
        raise UserError(f"There are {len(files)} images, and the shape says {count}.")
    return files


def pixels(given: Given, binary: bytes) -> np.ndarray:
    """UINT8 numbers, as many as the shape says."""
    if given.data is None:
        found = np.frombuffer(binary, np.uint8)
    else:
        numbers = flat(given.data)
        if not all(isinstance(n, int) and not isinstance(n, bool) and 0 <= n <= 255 for n in numbers):
            raise UserError("The pixels are not all whole numbers from 0 to 255.")
        found = np.array(numbers, np.uint8)
    if found.size != math.prod(given.shape):
        raise UserError(f"There are {found.size} pixels, and the shape {given.shape} has {math.prod(given.shape)}.")
    return found


def flat(data: list[Any]) -> list[Any]:
    """The elements of lists in lists, as row-major order has them; no deeper than a shape is long."""
    for _ in range(4):
        if not any(isinstance(item, list) for item in data):
            break
        data = [inner for item in data for inner in (item if isinstance(item, list) else [item])]
    return data


def decoded(text: Any) -> bytes:
    """A file's bytes from base64."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, TypeError, ValueError):
        raise UserError("An image in JSON is not base64.") from None


def unpacked(binary: bytes) -> list[bytes]:
    """BYTES elements, each after its length in four bytes."""
    found, place = [], 0
    while place < len(binary):
        if place + 4 > len(binary):
            raise UserError("The binary data is cut short.")
        (size,) = struct.unpack_from("<I", binary, place)
        if place + 4 + size > len(binary):
            raise UserError("The binary data is cut short.")
        found.append(binary[place + 4 : place + 4 + size])
        place += 4 + size
    return found


def answer(
    asked: Infer, model: str, version: str, probabilities: np.ndarray, labels: list[str], classes: list[str]
) -> tuple[bytes, int]:
    """The body of an answer, and how much of it is JSON.

    Args:
        asked: What was asked.
        model, version: Who answers.
        probabilities: (N, C) float32.
        labels: N names.
        classes: C names.
    """
    every = asked.parameters.get("binary_data_output") is True
    outputs, after = [], b""
    for one in asked.outputs or [Asked(name="probabilities"), Asked(name="labels")]:
        kind, shape, found = "BYTES", [len(labels)], labels
        if count := one.parameters.classification:
            found = likeliest(probabilities, classes, count)
            shape = [len(probabilities), min(count, len(classes))]
        elif one.name == "probabilities":
            kind, shape, found = "FP32", list(probabilities.shape), probabilities.ravel().tolist()
        output: dict[str, Any] = {"name": one.name, "datatype": kind, "shape": shape}
        if every if one.parameters.binary_data is None else one.parameters.binary_data:
            chunk = probabilities.astype("<f4").tobytes() if kind == "FP32" else packed(found)
            output["parameters"] = {"binary_data_size": len(chunk)}
            after += chunk
        else:
            output["data"] = found
        outputs.append(output)
    named = {} if asked.id is None else {"id": asked.id}
    head = json.dumps({"model_name": model, "model_version": version, **named, "outputs": outputs}).encode()
    return head + after, len(head)


def likeliest(probabilities: np.ndarray, classes: list[str], count: int) -> list[str]:
    """The likeliest classes of each row as ``probability:index:name``, so many or all."""
    order = np.argsort(-probabilities, axis=1, kind="stable")[:, :count]
    return [f"{row[i]:.6f}:{i}:{classes[i]}" for row, places in zip(probabilities, order) for i in places]


def packed(texts: list[str]) -> bytes:
    """BYTES elements, each after its length in four bytes."""
    return b"".join(struct.pack("<I", len(raw := text.encode())) + raw for text in texts)
