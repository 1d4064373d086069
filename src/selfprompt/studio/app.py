"""The studio: the server of adapters, with pages. Read this first."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException
from starlette.staticfiles import StaticFiles

from selfprompt.adapters.format import CONFIG_NAME, read_adapter
from selfprompt.errors import Diverged, UserError
from selfprompt.serving import server
from selfprompt.serving.pool import AdapterPool
from selfprompt.serving.repository import Repository, pool_for
from selfprompt.serving.settings import Settings
from selfprompt.studio import data, look, plan, research, run, take, team, trying
from selfprompt.studio.guard import OPEN, Guard
from selfprompt.studio.offered import EMBEDDED, Offered
from selfprompt.studio.pages import Studio
from selfprompt.studio.work import State, state

PAGES = (data, plan, run, look, trying, take, research, team)


def app(offered: Offered, pool: AdapterPool, settings: Settings, token: str) -> FastAPI:
    """The application: that of the server, and the pages.

    Args:
        offered: What may be read.
        pool: Where adapters are loaded.
        settings: Of the server; it listens on loopback.
        token: What the address has that lets a browser in.
    """
    made = server.app(pool, settings)
    studio = Studio(offered, made.state.service, Repository(pool, None, settings.max_adapters))
    made.state.studio = studio
    for page in PAGES:
        made.include_router(page.routes(studio), include_in_schema=False)
    made.mount("/static", StaticFiles(directory=Path(__file__).with_name("static")))

    @made.get("/", include_in_schema=False)
    def home() -> Response:
        """What there is to begin with."""
        folders = [(name, *seen(folder)) for name, folder in offered.folders().items()]
        return studio.page("home.html", data=list(offered.data.values()), folders=folders, out=offered.out)

    def shown(request: Request, error: Exception) -> Response:
        path = request.url.path
        if any(path == o or path.startswith(o + "/") for o in OPEN):
            return next(answer for kind, answer in server.ANSWERS.items() if isinstance(error, kind))(request, error)
        if isinstance(error, HTTPException):
            return studio.problem(request, str(error.detail), error.status_code)
        return studio.problem(request, str(error), 500 if isinstance(error, Diverged) else 400)

    for kind in (UserError, Diverged, HTTPException):
        made.add_exception_handler(kind, shown)
    made.add_middleware(Guard, token=token)
    return made


def seen(folder: Path) -> tuple[State | None, str]:
    """What became of a run, or what is wrong with its folder."""
    try:
        return state(folder), ""
    except UserError as error:
        return None, str(error)


def start(offered: Offered, settings: Settings, started: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT; runs go on.

    Args:
        offered: What may be read.
        settings: Of the server.
        started: Called with the address, once it listens.

    Raises:
        UserError: The address cannot be used.
    """
    token = secrets.token_urlsafe(18)
    made = app(offered, pool_of(offered), settings, token)
    server.serve(made, settings, lambda url: started(f"{url}/?token={token}"))


def pool_of(offered: Offered) -> AdapterPool:
    """An empty pool on the backbone of the first adapter of images; without any, on the packaged one."""
    for folder in offered.folders().values():
        if (folder / CONFIG_NAME).is_file():
            with suppress(UserError):
                offered.must_have(read_adapter(folder)[0].backbone.name)
                return pool_for([folder], None, None)
    return AdapterPool(EMBEDDED)
