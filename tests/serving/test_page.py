"""The page about the server says what there is."""

from __future__ import annotations

import re
from pathlib import Path

import selfprompt as sp
from conftest import make_backbone
from selfprompt.serving.metrics import Metrics
from selfprompt.serving.server import app
from selfprompt.serving.settings import Settings

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs" / "serve.md").read_text(encoding="utf-8")


def test_every_flag_metric_and_route_is_on_the_page() -> None:
    flags = {"--" + name.replace("_", "-") for name in Settings.model_fields}
    assert not {flag for flag in flags if f"`{flag}`" not in PAGE}
    names = {metric.name.removeprefix("selfprompt_") for metric in Metrics().registry.collect()}
    assert not {name for name in names if name not in PAGE}
    routes = app(sp.AdapterPool(make_backbone())).openapi()["paths"]
    assert not {route for route in routes if route.split("{")[0].rstrip("/") not in PAGE}


def test_the_container_runs_the_command_as_it_is() -> None:
    said = (ROOT / "Containerfile").read_text(encoding="utf-8")
    flags = {"--" + name.replace("_", "-") for name in Settings.model_fields}
    assert set(re.findall(r"--[a-z-]+", said.partition("ENTRYPOINT")[2])) <= flags
    assert re.search(r"^USER (?!root)", said, re.MULTILINE)
