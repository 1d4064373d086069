"""The examples run, each with settings that take seconds, and are as short as they are said to be."""

from __future__ import annotations

import runpy
import socket
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parent.parent / "examples"


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


TINY: dict[str, tuple[dict[str, Any], str]] = {
    "compare_methods": ({"data": "FOLDER", "seeds": 2, "epochs": 1}, "spt - vpt: "),
    "embed_and_cluster": ({"images": 40}, "adjusted Rand index of 10 clusters: "),
    "language_model": ({"epochs": 1}, "a tree with sweet fruit -> "),
    "many_tasks": ({"epochs": 1, "images": 1}, "drawings/colours "),
    "new_classes": ({"shots": 1, "epochs": 1}, " classes that were never trained on"),
    "own_folder": ({"data": "FOLDER", "epochs": 1}, "validation accuracy "),
    "own_loop": ({"steps": 2, "batch_size": 8}, "step 0: loss "),
    "own_method": ({"data": "FOLDER", "epochs": 1}, "validation accuracy "),
    "own_timm_model": ({"data": "FOLDER", "epochs": 1}, "the model is as it was"),
    "serve_and_ask": ({"data": "FOLDER", "epochs": 1, "port": 0}, '"label": "'),
}


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.py")), ids=lambda path: path.stem)
def test_an_example_runs(path: Path, folder: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 50
    monkeypatch.chdir(tmp_path)
    settings, said = TINY[path.stem]
    own = {"FOLDER": str(folder), 0: free_port()}
    runpy.run_path(str(path))["main"](**{name: own.get(value, value) for name, value in settings.items()})
    assert said in capsys.readouterr().out
