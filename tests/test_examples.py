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


def tiny(folder: str) -> dict[str, tuple[dict[str, Any], str]]:
    """What each is run with, and something that it says then."""
    return {
        "compare_methods": ({"data": folder, "seeds": 2, "epochs": 1}, "spt - vpt: "),
        "embed_and_cluster": ({"images": 40}, "adjusted Rand index of 10 clusters: "),
        "language_model": ({"epochs": 1}, "a tree with sweet fruit -> "),
        "many_tasks": ({"tasks": {"one": folder, "other": folder}, "epochs": 1, "images": 1}, "other "),
        "new_classes": ({"shots": 1, "epochs": 1}, " classes that were never trained on"),
        "own_folder": ({"data": folder, "epochs": 1}, "validation accuracy "),
        "own_loop": ({"steps": 2, "batch_size": 8}, "step 0: loss "),
        "own_method": ({"data": folder, "epochs": 1}, "validation accuracy "),
        "own_timm_model": ({"data": folder, "epochs": 1}, "the model is as it was"),
        "serve_and_ask": ({"epochs": 1, "port": free_port()}, '"label": "'),
    }


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.py")), ids=lambda path: path.stem)
def test_an_example_runs(path: Path, folder: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 50
    monkeypatch.chdir(tmp_path)
    settings, said = tiny(str(folder))[path.stem]
    runpy.run_path(str(path))["main"](**settings)
    assert said in capsys.readouterr().out
