"""The studio around a finished run, and a browser's client that has its cookie."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fastapi.testclient import TestClient

from selfprompt.serving.settings import Settings
from selfprompt.studio.app import app, pool_of
from selfprompt.studio.offered import offered

TOKEN = "a-token-of-the-test"
HERE = "http://localhost"
OWN = {"origin": HERE}


@contextmanager
def studio(*given: object, out: Path, backbone: object = None, let_in: bool = True) -> Iterator[TestClient]:
    """A client of a studio over what a command line names."""
    found = offered([str(one) for one in given], out, [] if backbone is None else [str(backbone)])
    made = app(found, pool_of(found), Settings(), TOKEN)
    with TestClient(made, base_url=HERE, raise_server_exceptions=False, follow_redirects=False) as client:
        if let_in:
            assert client.get(f"/?token={TOKEN}").status_code == 303
        yield client
