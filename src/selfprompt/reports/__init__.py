"""What people look at: tables, and one page for every run, comparison and benchmark."""

from __future__ import annotations

import json
from pathlib import Path

from selfprompt.errors import UserError


def report(folder: Path) -> Path:
    """Write report.html for whatever a folder holds: a run, a comparison or a benchmark.

    Raises:
        UserError: The folder holds none, or one that is not finished.
    """
    from selfprompt.reports.run import run_page
    from selfprompt.reports.tables import bench_page, comparison_page

    if (folder / "run.json").is_file():
        metrics = folder / "metrics.json"
        if not metrics.is_file() or json.loads(metrics.read_text())["test_accuracy"] is None:
            raise UserError(f"The run in {folder} is not finished: go on with selfprompt tune --resume {folder}.")
        return run_page(folder)
    if (folder / "table.json").is_file():
        whole = json.loads((folder / "table.json").read_text())
        return bench_page(folder) if "benchmark" in whole else comparison_page(folder)
    raise UserError(f"{folder} holds no finished run, comparison or benchmark (no run.json or table.json).")
