"""The server: an application around a pool, and the process that runs it. Read this first."""

from __future__ import annotations

import socket
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import torch
import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel
from starlette.exceptions import HTTPException as AnyHTTPException
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect

import selfprompt
from selfprompt.errors import Diverged, UserError
from selfprompt.serving import repository, v1, v2
from selfprompt.serving.access import guarded
from selfprompt.serving.batcher import Busy, TooLate
from selfprompt.serving.gate import Gate
from selfprompt.serving.logs import configure
from selfprompt.serving.pool import AdapterPool
from selfprompt.serving.repository import Repository
from selfprompt.serving.service import Service
from selfprompt.serving.settings import Settings

LOCAL = ["localhost", "127.0.0.1", "[::1]", "::1"]
GONE = 499  # nginx's number for a client that hung up


class Error(BaseModel):
    """What is wrong, in one sentence."""

    error: str


def app(pool: AdapterPool, settings: Settings | None = None) -> FastAPI:
    """The application; whoever has it may add routes, which find the `Service` as ``app.state.service``.

    Args:
        pool: Its adapters; it may be added to while the server runs.
        settings: Limits and keys.

    Raises:
        UserError: A file of keys is no good.
    """
    settings = settings or Settings()
    service = Service(pool, settings)

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        service.start()
        yield
        service.stop()

    errors: dict[int | str, dict[str, Any]] = {"4XX": {"model": Error}, "5XX": {"model": Error}}
    made = FastAPI(
        title="selfprompt",
        version=selfprompt.__version__,
        lifespan=life,
        responses=errors,
        docs_url=None,  # its page fetches scripts from elsewhere
        redoc_url=None,
    )
    made.state.service = service
    key = guarded(settings.keys, settings.admin_keys) if settings.keys else []
    admin = guarded(settings.admin_keys)
    extensions = ["binary_tensor_data", "classification", *(["model_repository"] if admin else [])]
    made.include_router(v2.health(service))
    made.include_router(v1.routes(service), dependencies=key)
    made.include_router(v2.routes(service, extensions), dependencies=key)
    if admin:
        offered = Repository(pool, settings.adapters_dir, settings.max_adapters)
        made.include_router(repository.routes(offered), dependencies=admin)

    @made.get("/metrics", dependencies=key, response_class=Response, tags=["health"])
    def metrics() -> Response:
        """What Prometheus scrapes."""
        return Response(generate_latest(service.metrics.registry), media_type=CONTENT_TYPE_LATEST)

    for kind, answer in ANSWERS.items():
        made.add_exception_handler(kind, answer)
    made.add_middleware(Gate, service=service)
    if settings.loopback and not settings.keys:  # a page of another site may call this machine by a name of its own
        made.add_middleware(TrustedHostMiddleware, allowed_hosts=[*LOCAL, settings.host], www_redirect=False)
    return made


def said(status: int, words: str, headers: dict[str, str] | None = None) -> JSONResponse:
    """An error's answer."""
    return JSONResponse({"error": words}, status, headers)


def not_valid(_: Request, error: Any) -> Response:
    """What a parameter of a request should be."""
    first = error.errors()[0]
    return said(422, f"{'.'.join(map(str, first['loc']))}: {first['msg']}.")


ANSWERS: dict[Any, Callable[[Request, Any], Response]] = {
    AnyHTTPException: lambda _, error: said(error.status_code, str(error.detail), error.headers),
    RequestValidationError: not_valid,
    UserError: lambda _, error: said(400, str(error)),
    Diverged: lambda _, error: said(500, str(error)),
    Busy: lambda _, error: said(429, "Too many images are waiting: send it again later.", {"Retry-After": "1"}),
    TooLate: lambda _, error: said(504, "It waited too long to be computed: send it again later."),
    ClientDisconnect: lambda _, error: Response(status_code=GONE),
    Exception: lambda _, error: said(500, "The server has made an error, which its log names."),
}


class Server(uvicorn.Server):
    """uvicorn, which on SIGTERM is first not ready, then takes no more connections, then answers what it accepted.

    Args:
        config: Of uvicorn.
        service: What drains.
        started: Called with the address once it listens.
    """

    def __init__(self, config: uvicorn.Config, service: Service, started: Callable[[str], None]) -> None:
        super().__init__(config)
        self.service, self.told = service, started

    async def startup(self, sockets: Any = None) -> None:
        """Listen, and say where."""
        await super().startup(sockets)
        host, port = sockets[0].getsockname()[:2]
        self.told(f"http://{f'[{host}]' if ':' in host else host}:{port}")

    def handle_exit(self, sig: int, frame: Any) -> None:
        """A second signal ends it at once."""
        if self.service.draining:
            self.should_exit = self.force_exit = True
            return
        self.service.draining = True
        timer = threading.Timer(self.service.settings.drain_s, setattr, (self, "should_exit", True))
        timer.daemon = True
        timer.start()


def run(pool: AdapterPool, settings: Settings, started: Callable[[str], None] = lambda url: None) -> None:
    """Serve until SIGTERM or SIGINT, and until what was accepted is answered.

    Args:
        pool: Its adapters.
        settings: Address, limits and keys.
        started: Called with the address once it listens.

    Raises:
        UserError: The address cannot be used, or see `app`.
    """
    serve(app(pool, settings), settings, started)


def serve(made: FastAPI, settings: Settings, started: Callable[[str], None]) -> None:
    """`run`, of an application that `app` made."""
    if settings.threads:
        torch.set_num_threads(settings.threads)
    configure(settings.log)
    config = uvicorn.Config(
        made,
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=round(2 * settings.timeout_s) + 1,  # a body may come, and then wait, for so long
    )
    with listening(settings) as listener:
        Server(config, made.state.service, started).run([listener])


def listening(settings: Settings) -> socket.socket:
    """A socket that listens where the settings say.

    Raises:
        UserError: It cannot.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        return socket.create_server((settings.host, settings.port), family=family)
    except OSError as error:
        place = f"{settings.host}:{settings.port}"
        raise UserError(f"{place} cannot be listened on ({error.strerror}): give another --port or --host.") from None
