"""Who may see the pages: whoever has the address that the command printed, in a browser's own tab."""

from __future__ import annotations

import hashlib
import hmac
from urllib.parse import parse_qsl, urlencode

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

OPEN = ("/v1", "/v2", "/metrics", "/openapi.json")
"""The server's own addresses, which read no cookie and are as open as `selfprompt serve` has them."""
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}
READING = ("GET", "HEAD")


class Guard:
    """ASGI middleware: a token first in the address, then in a cookie; nothing is changed for another site's page.

    Which host a request names is the business of the server's own middleware.

    Args:
        app: What comes behind it.
        token: What the address has.
    """

    def __init__(self, app: ASGIApp, token: str) -> None:
        self.app, self.token = app, token
        self.cookie = "selfprompt-" + hashlib.sha256(token.encode()).hexdigest()[:8]  # ports share their cookies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let one request through, or say why not."""
        if scope["type"] != "http" or any(scope["path"] == o or scope["path"].startswith(o + "/") for o in OPEN):
            await self.app(scope, receive, send)
            return

        async def out(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        refused = self.answer(scope)
        await (self.app if refused is None else refused)(scope, receive, out)

    def answer(self, scope: Scope) -> Response | None:
        """What a request gets that does not get through."""
        headers, query = Headers(scope=scope), parse_qsl(scope["query_string"].decode("latin-1"), True)
        given = dict(query).get("token")
        if given is not None and scope["method"] in READING and self.right(given):
            rest = urlencode([pair for pair in query if pair[0] != "token"])
            there = RedirectResponse(scope["path"].replace("//", "/") + (f"?{rest}" if rest else ""), 303)
            there.set_cookie(self.cookie, self.token, httponly=True, samesite="strict")
            return there
        if not self.right(cookie_parser(headers.get("cookie", "")).get(self.cookie, "")):
            return PlainTextResponse("Open the address that selfprompt studio has printed: it has a token.\n", 401)
        own = f"http://{headers.get('host', '')}"
        if scope["method"] not in READING and headers.get("origin") != own:
            return PlainTextResponse("This was sent by another site's page.\n", 403)
        return None

    def right(self, token: str) -> bool:
        """Whether it is the token; it takes as long for every one."""
        return hmac.compare_digest(token.encode("utf-8", "surrogateescape"), self.token.encode())
