"""Loading and unloading while the server runs: Triton's model repository extension.

Source: github.com/triton-inference-server, "Model Repository Extension". Names are those of folders below one folder;
nothing of a request is a path or an address.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from pathlib import Path
from threading import Lock
from typing import Annotated, Any, Literal

from fastapi import APIRouter, HTTPException, Request, Response
from fastapi import Path as PathParameter
from pydantic import BaseModel, ValidationError

from selfprompt.adapters.format import FILES, find_adapter, read_adapter
from selfprompt.errors import UserError, first_line
from selfprompt.serving.pool import AdapterPool
from selfprompt.serving.settings import NAME

logger = logging.getLogger(__name__)

Name = Annotated[str, PathParameter(max_length=100)]


class Found(BaseModel):
    """An adapter of the folder, or one that is loaded."""

    name: str
    version: str = ""
    state: Literal["READY", "UNAVAILABLE"]
    reason: str = ""


class Wish(BaseModel):
    """What Triton's clients send along."""

    parameters: dict[str, Any] = {}
    ready: bool = False


BODY = {"requestBody": {"required": False, "content": {"application/json": {"schema": Wish.model_json_schema()}}}}


class Repository:
    """The adapters of a folder, which a pool may have or not.

    Args:
        pool: Where they are loaded.
        folder: Where they are; None has none.
        most: Adapters at a time.

    Attributes:
        failed: Why one could not be loaded the last time.
    """

    def __init__(self, pool: AdapterPool, folder: Path | None, most: int) -> None:
        self.pool, self.folder, self.most = pool, folder, most
        self.failed: dict[str, str] = {}
        self.taking = Lock()

    def load(self, name: str) -> None:
        """Load an adapter, or load it anew in the place of the one of its name.

        Raises:
            HTTPException: There is none.
            UserError: There is no room, or the pool cannot serve it.
        """
        path = found(self.folder, name)
        if path is None:
            raise HTTPException(404, f"There is no adapter {name!r:.110} to load.")
        self.take(name, path)

    def take(self, name: str, adapter: str | Path) -> None:
        """Put an adapter into the pool; errors as of `load`."""
        with self.taking:  # two at once would each find the last room
            if name not in self.pool.bank.members and len(self.pool.bank.members) >= self.most:
                raise UserError(f"There are {self.most} adapters (--max-adapters): unload one first.")
            try:
                self.pool.add(name, adapter, replace=True)
            except UserError as error:
                self.failed[name] = str(error)
                raise
            except Exception as error:  # whatever a file that is damaged in a way of its own raises
                self.failed[name] = f"{adapter} cannot be loaded ({type(error).__name__}: {first_line(error)[:120]})."
                raise UserError(self.failed[name]) from error
        self.failed.pop(name, None)
        logger.info("loaded %s", name)

    def load_all(self) -> None:
        """Load every adapter of the folder; one that is broken is named and left out."""
        for name in names_in(self.folder):
            try:
                self.load(name)
            except UserError as error:
                logger.warning("%s is left out: %s", name, error)

    def unload(self, name: str) -> None:
        """Remove an adapter; who is being answered still is.

        Raises:
            HTTPException: It is not loaded.
        """
        try:
            self.pool.remove(name)
        except UserError as error:
            raise HTTPException(404, str(error)) from None
        logger.info("unloaded %s", name)

    def index(self) -> list[Found]:
        """What there is."""
        members = self.pool.bank.members
        loaded = [Found(name=name, version=member.version or "", state="READY") for name, member in members.items()]
        others = [name for name in names_in(self.folder) if name not in members]
        return loaded + [Found(name=n, state="UNAVAILABLE", reason=self.failed.get(n, "unloaded")) for n in others]


def names_in(folder: Path | None) -> list[str]:
    """The names that can be loaded from a folder.

    Raises:
        UserError: It cannot be read.
    """
    try:
        return sorted(path.name for path in folder.iterdir() if found(folder, path.name)) if folder else []
    except OSError as error:
        raise UserError(f"{folder} cannot be read ({error.strerror}): give --adapters-dir a folder.") from None


def found(folder: Path | None, name: str) -> Path | None:
    """An adapter below a folder; None where there is none, and for whatever would lead out of the folder."""
    if folder is None or not NAME.fullmatch(name):
        return None
    try:
        files = [(folder / name / file).resolve() for file in FILES]
        inside = all(file.is_relative_to(folder.resolve()) and file.is_file() for file in files)
    except (OSError, RuntimeError):  # no right to it, or links that lead round
        return None
    return folder / name if inside else None


def pool_for(adapters: Iterable[str | Path], folder: Path | None, backbone: str | None) -> AdapterPool:
    """An empty pool on the backbone of the first adapter that can be read.

    Args:
        adapters: Folders or repositories of the hub.
        folder: Of further ones.
        backbone: The backbone, if it is no longer where it was.

    Raises:
        UserError: None can be read and no backbone is given, or it takes texts.
    """
    size, why = None, UserError("There is no adapter yet: give --backbone.")
    for adapter in [*adapters, *(folder / name for name in names_in(folder) if folder)]:
        try:
            config, _ = read_adapter(find_adapter(adapter))
        except UserError as error:
            why = error
            continue
        if config.backbone.image_size is None:
            why = UserError(f"{adapter} takes texts, and a server takes images: use selfprompt predict.")
            continue
        backbone, size = backbone or config.backbone.name, config.backbone.image_size
        break
    if backbone is None:
        raise why
    return AdapterPool(backbone, size)


def routes(repository: Repository) -> APIRouter:
    """The routes, for administrators alone."""
    router = APIRouter(prefix="/v2/repository", tags=["repository"])

    @router.post("/index", openapi_extra=BODY)
    async def index(request: Request) -> list[Found]:
        """What is loaded and what could be; ``ready`` names only what is loaded."""
        ready = (await wish(request)).ready
        return [one for one in await asyncio.to_thread(repository.index) if one.state == "READY" or not ready]

    @router.post("/models/{name}/load", openapi_extra=BODY, response_class=Response)
    async def load(request: Request, name: Name) -> Response:
        """Load an adapter of the folder, or load it anew."""
        if (await wish(request)).parameters:
            raise HTTPException(400, "An adapter is loaded as it is: send no parameters.")
        await asyncio.to_thread(repository.load, name)
        return Response()

    @router.post("/models/{name}/unload", openapi_extra=BODY, response_class=Response)
    async def unload(request: Request, name: Name) -> Response:
        """Unload an adapter; who is being answered by it still is."""
        await wish(request)
        await asyncio.to_thread(repository.unload, name)
        return Response()

    return router


async def wish(request: Request) -> Wish:
    """The body of a request; there may be none.

    Raises:
        HTTPException: It is something else.
    """
    try:
        return Wish.model_validate_json(await request.body() or b"{}")
    except ValidationError:
        raise HTTPException(400, "The body is no JSON object that was expected: leave it out.") from None
