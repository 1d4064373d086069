"""The images of a request, and how much of a body is read."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from fastapi import HTTPException, Request
from starlette.datastructures import UploadFile
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive

from selfprompt.errors import first_line
from selfprompt.serving.settings import Settings

Named = tuple[str | int, bytes]
"""An image's file name, or its number where it has none, and the file's bytes."""

BINARY = {"type": "string", "format": "binary"}
FORM = {"type": "object", "required": ["images"], "properties": {"images": {"type": "array", "items": BINARY}}}
BODY = {
    "requestBody": {
        "required": True,
        "description": "Image files as a form, or one image as it is.",
        "content": {
            "multipart/form-data": {"schema": FORM},
            **{kind: {"schema": BINARY} for kind in ("image/jpeg", "image/png", "application/octet-stream")},
        },
    }
}
"""What the OpenAPI document says of them."""


async def images_of(request: Request, settings: Settings) -> list[Named]:
    """The images that a request brings.

    Raises:
        HTTPException: It brings none, too many, or something else.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if "content-encoding" in request.headers:
        raise HTTPException(415, "Send the body as it is, without a content encoding.")
    images: list[Named]
    if kind == "multipart/form-data":
        images = await uploaded(request, settings.max_images)
    elif kind.startswith("image/") or kind == "application/octet-stream":
        images = [(0, await request.body())]
    else:
        raise HTTPException(415, "Send image files as multipart/form-data, or one image as image/jpeg, image/png.")
    if not images or not all(data for _, data in images):
        raise HTTPException(400, "An image is empty, or there is none: send a file.")
    return images


async def uploaded(request: Request, most: int) -> list[Named]:
    """The files of a form."""
    try:
        async with request.form(max_files=most, max_fields=0) as form:
            files = [value for _, value in form.multi_items() if isinstance(value, UploadFile)]
            return [(file.filename or i, await file.read()) for i, file in enumerate(files)]
    except (HTTPException, ClientDisconnect):
        raise
    except Exception as error:  # the parser's own, of several kinds
        raise HTTPException(400, f"The body is no form of files ({first_line(error)}).") from None


class Bounded:
    """A request's body, of which no more is taken than may be, and for no longer.

    Args:
        receive: Where it comes from.
        most: Bytes.
        announced: Bytes, as its header says.
        seconds: From now.
        reserve: Makes room for so many bytes among the bodies of all requests; whether there is some.

    Attributes:
        held: Bytes that it has room for, from its first read on: those announced, or those that came.
    """

    def __init__(
        self,
        receive: Receive,
        most: int,
        announced: bytes | None,
        seconds: float,
        reserve: Callable[[int], bool],
    ) -> None:
        self.receive, self.most, self.until, self.reserve = receive, most, time.monotonic() + seconds, reserve
        self.announced = int(announced) if announced is not None and announced.isdigit() else 0
        self.got, self.held, self.whole = 0, 0, False

    async def __call__(self) -> Message:
        """The next message.

        Raises:
            HTTPException: The body is too large, takes too long, or there are too many others.
        """
        if self.whole:
            return await self.receive()
        self._hold(self.announced)
        try:
            message = await asyncio.wait_for(self.receive(), self.until - time.monotonic())
        except TimeoutError:
            raise HTTPException(408, "The body takes too long to come.", {"Connection": "close"}) from None
        self.got += len(message.get("body", b""))
        self.whole = not message.get("more_body", False)
        self._hold(self.got)
        return message

    def _hold(self, count: int) -> None:
        """Have room for so many bytes."""
        if count > self.most:
            raise HTTPException(413, f"The body has more than {self.most:,} bytes.", {"Connection": "close"})
        if count > self.held:
            if not self.reserve(count - self.held):
                headers = {"Retry-After": "1", "Connection": "close"}
                raise HTTPException(429, "Too many bodies are coming: send it again later.", headers)
            self.held = count
