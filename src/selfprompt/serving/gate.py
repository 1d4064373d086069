"""What every request passes on its way in and its answer on its way out."""

from __future__ import annotations

import time
from typing import Any

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from selfprompt.serving.bodies import Bounded
from selfprompt.serving.logs import logger
from selfprompt.serving.service import Service

REASONS = {401: "no key", 408: "slow body", 413: "too large", 429: "busy", 504: "too late"}
BODIES = 32
"""How many of the largest bodies there may be at a time, all requests together."""
REQUESTS = 1024
"""How many requests there may be at a time, besides those for the server's health."""
FULL = JSONResponse(
    {"error": "Too many requests are in progress: send it again later."},
    429,
    {"Retry-After": "1", "Connection": "close"},
)


class Gate:
    """ASGI middleware: requests and their bodies are bounded, and every request is counted, timed and logged.

    Args:
        app: What comes behind it.
        service: Whose limits and counters.

    Attributes:
        requests: How many are not yet answered.
        held: Bytes of their bodies.
    """

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self.app, self.service = app, service
        self.requests, self.held = 0, 0

    def reserve(self, count: int) -> bool:
        """Hold more bytes of a body; whether there was room."""
        fits = self.held + count <= BODIES * self.service.settings.max_bytes
        self.held += count if fits else 0
        return fits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let one request through."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start, status = time.perf_counter(), 500
        noted: dict[str, Any] = scope.setdefault("state", {})
        settings = self.service.settings
        announced = dict(scope["headers"]).get(b"content-length")
        body = Bounded(receive, settings.max_bytes, announced, settings.timeout_s, self.reserve)

        async def out(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        self.requests += 1
        try:
            fits = self.requests <= REQUESTS or scope["path"].startswith("/v2/health/")
            await (self.app if fits else FULL)(scope, body, out)
        finally:
            self.requests -= 1
            self.held -= body.held
            seconds, metrics = time.perf_counter() - start, self.service.metrics
            adapter, route = noted.get("adapter", ""), getattr(scope.get("route"), "path", "")
            metrics.requests.labels(route, adapter, status).inc()
            metrics.request.labels(adapter).observe(seconds)
            if status in REASONS:
                metrics.rejected.labels(REASONS[status]).inc()
            fields = {"route": route, "status": status, "ms": round(1000 * seconds, 2)}
            fields |= {name: noted[name] for name in ("adapter", "images") if name in noted}
            logger.info("%s", scope["method"], extra={"fields": fields})
