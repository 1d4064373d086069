"""``selfprompt report DIR``."""

from __future__ import annotations

from pathlib import Path

from selfprompt.cli.console import emit, page
from selfprompt.cli.values import Seed


def command(folder: Path, *, seed: Seed = 0, json: bool = False) -> None:
    """Write report.html again, for a run, a comparison or a benchmark.

    Args:
        folder: What tune, compare or bench wrote.
        seed: Has no effect here; every command takes it.
        json: Print one JSON object.
    """
    path = page(folder)
    emit({"report": str(path)}, json, str(path))
