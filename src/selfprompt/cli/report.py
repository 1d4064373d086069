"""``selfprompt report DIR``."""

from __future__ import annotations

from pathlib import Path

from selfprompt.cli.console import report as say
from selfprompt.reports import report


def command(folder: Path, *, seed: int = 0, json: bool = False) -> None:
    """Write report.html again, for a run, a comparison or a benchmark.

    Args:
        folder: What tune, compare or bench wrote.
        seed: Nothing is drawn here; every command takes it.
        json: Print one JSON object.
    """
    path = report(folder)
    say({"report": str(path)}, json, str(path))
