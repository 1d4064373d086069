"""``selfprompt serve NAME=ADAPTER...``."""

from __future__ import annotations

import sys

from selfprompt.cli.console import emit
from selfprompt.cli.flags import ServerFlags, given
from selfprompt.cli.values import Seed
from selfprompt.errors import UserError
from selfprompt.registry import installed
from selfprompt.serving.settings import NAME, Settings


def command(
    adapters: list[str] | None = None,
    /,
    *,
    backbone: str | None = None,
    server_flags: ServerFlags = None,
    seed: Seed = 0,
    json: bool = False,
) -> None:
    """Answer for many adapters on one backbone over HTTP, until SIGTERM.

    POST image files to /v1/predict?adapter=NAME. Open Inference Protocol at /v2, metrics at /metrics, all routes in
    /openapi.json.

    Args:
        adapters: NAME=ADAPTER, as often as needed: a name for addresses, and a folder or a repository of the Hugging
            Face hub.
        backbone: The backbone, if it has moved; by default the first adapter's.
        seed: Has no effect here; every command takes it.
        json: Print one JSON object, with the address, once the server listens.
    """
    settings = Settings(**given(server_flags))
    named = dict(pair(text) for text in adapters or ())
    if len(named) < len(adapters or ()):
        raise UserError("A name is given twice: give each adapter its own.")
    if not named and settings.adapters_dir is None:
        raise UserError("There is nothing to serve: give NAME=ADAPTER, or --adapters-dir.")
    if not installed("fastapi") or not installed("uvicorn"):
        raise UserError("The server needs an extra: pip install 'selfprompt[serve]'.")
    from selfprompt.serving.repository import Repository, pool_for
    from selfprompt.serving.server import run
    from selfprompt.tuning.engine import Engine

    pool = pool_for(named.values(), settings.adapters_dir, backbone).to(Engine().device)
    repository = Repository(pool, settings.adapters_dir, settings.max_adapters)
    for name, adapter in named.items():
        repository.take(name, adapter)
    if not named:
        repository.load_all()

    def started(url: str) -> None:
        names = list(pool.bank.members)
        emit({"url": url, "adapters": names}, json, f"{url} serves {', '.join(names) or 'nothing yet'}")

    run(pool, settings, started)
    sys.exit(0)


def pair(text: str) -> tuple[str, str]:
    """NAME=ADAPTER as both.

    Raises:
        UserError: It is something else.
    """
    name, _, adapter = text.partition("=")
    if not adapter:
        raise UserError(f"{text} is no NAME=ADAPTER: give a name, such as birds={text}.")
    if not NAME.fullmatch(name):
        raise UserError(f"The name {name!r} is none for an address: use letters, digits, '-', '_' and '.'.")
    return name, adapter
