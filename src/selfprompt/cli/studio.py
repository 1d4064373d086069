"""``selfprompt studio [DATA|RUN|ADAPTERS...]``."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from selfprompt.cli.console import emit
from selfprompt.cli.values import Seed
from selfprompt.errors import UserError
from selfprompt.registry import installed
from selfprompt.serving.settings import Settings


def command(
    what: list[str] | None = None,
    /,
    *,
    out: Path = Path("runs"),
    backbone: list[str] | None = None,
    port: int = 7860,
    seed: Seed = 0,
    json: bool = False,
) -> None:
    """Pages in a browser: from data to an adapter, and what was made so far; only this machine can open them.

    They show the command of whatever they do. No request leaves this machine: backbones come from its cache.

    Args:
        what: Data, runs, adapters, and folders of runs or adapters, which the pages may read; without any, the
            embedded example.
        out: Folder of runs: new ones go there, old ones are shown.
        backbone: Further backbones that runs may use: names or weights files.
        port: Port to listen on; 0 takes a free one.
        seed: Has no effect here; every command takes it.
        json: Print one JSON object, with the address, once the pages can be opened.
    """
    if not 0 <= port < 2**16:
        raise UserError(f"--port {port} is out of range: give 0 to {2**16 - 1}.")
    if not installed("fastapi") or not installed("uvicorn"):
        raise UserError("The studio needs an extra: pip install 'selfprompt[serve]'.")
    if out.exists() and not out.is_dir():
        raise UserError(f"{out} is a file: give --out a folder.")
    os.environ["HF_HUB_OFFLINE"] = "1"  # before anything reads it; runs inherit it
    from selfprompt.studio.app import start
    from selfprompt.studio.offered import offered

    found = offered(what or [], out, backbone or [])

    def started(url: str) -> None:
        emit({"url": url}, json, f"open {url}")

    start(found, Settings(port=port), started)
    sys.exit(0)
