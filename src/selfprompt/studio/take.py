"""Take: an adapter as a zip file, as an ONNX program, and the commands that serve it or put it into a page."""

from __future__ import annotations

import asyncio
import tempfile
import zipfile
from collections.abc import Iterator
from typing import IO

from fastapi import APIRouter, Request, Response
from starlette.responses import FileResponse, StreamingResponse

from selfprompt.adapters.format import FILES
from selfprompt.reports.page import NAME as REPORT
from selfprompt.studio.offered import file_in
from selfprompt.studio.pages import Studio
from selfprompt.studio.team import address
from selfprompt.studio.trying import adapter_of

ONNX = "adapter.onnx"
BESIDE = ("README.md", REPORT)
"""What goes into the zip file where it is there."""
PIECE = 2**20


def pieces(file: IO[bytes]) -> Iterator[bytes]:
    """A file from its beginning, which is closed at its end."""
    with file:
        file.seek(0)
        while piece := file.read(PIECE):
            yield piece


def attached(name: str) -> dict[str, str]:
    """The header with which a browser saves what it gets."""
    plain = "".join(c if c.isascii() and (c.isalnum() or c in "-_.~") else "_" for c in name)
    return {"Content-Disposition": f'attachment; filename="{plain}"'}


def routes(studio: Studio) -> APIRouter:
    """The pages."""
    router = APIRouter(prefix="/adapters/{name}")

    @router.get("/take")
    def page(name: str) -> Response:
        folder, config = adapter_of(studio, name)
        texts = config.protocol.inputs == "text"
        commands = {
            "export": ["export", str(folder), "--out", str(folder / ONNX)],
            "page": ["export", str(folder), "--html", "--onnxruntime-web", "DIR", "--out", f"{folder}-page"],
            "serve": ["serve", f"{address(name)}={folder}"],
            "push": ["push", str(folder), "USER/NAME"],
        }
        onnx = (folder / ONNX).stat().st_size if (folder / ONNX).is_file() else None
        sizes = [(file, (folder / file).stat().st_size) for file in FILES]
        rest = {"texts": texts, "commands": commands, "sizes": sizes, "onnx": onnx}
        return studio.page("take.html", **studio.steps(name), **rest)

    @router.get("/zip")
    def zipped(name: str) -> Response:
        folder, _ = adapter_of(studio, name)
        out = tempfile.TemporaryFile()  # noqa: SIM115 (closed at the end of the answer)
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
            for file in (*FILES, *(file for file in BESIDE if (folder / file).is_file())):
                archive.write(file_in(folder, file), f"{name}/{file}")
        return StreamingResponse(pieces(out), media_type="application/zip", headers=attached(f"{name}.zip"))

    @router.post("/onnx")
    async def exported(request: Request, name: str) -> Response:
        folder, _ = await asyncio.to_thread(adapter_of, studio, name)
        await studio.ask(request, ["export", str(folder), "--out", str(folder / ONNX)])
        return studio.page("exported.html", name=name, size=(folder / ONNX).stat().st_size)

    @router.get("/onnx")
    def program(name: str) -> Response:
        path = file_in(studio.offered.folder(name), ONNX)
        return FileResponse(path, media_type="application/octet-stream", headers=attached(f"{name}.onnx"))

    return router
