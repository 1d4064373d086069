"""What people look at: tables, and one page for every run, comparison and benchmark."""

from __future__ import annotations

from pathlib import Path

from selfprompt.errors import UserError
from selfprompt.files import read_json
from selfprompt.tuning.records import METRICS, Metrics, read_metrics


def report(folder: Path) -> Path:
    """Write report.html for whatever a folder holds: a run, a comparison or a benchmark.

    Raises:
        UserError: The folder holds none, or one that is not finished or was not analysed.
    """
    from selfprompt.reports.run import run_page
    from selfprompt.reports.tables import AGAIN, bench_page, comparison_page

    if (folder / "run.json").is_file():
        if not (folder / METRICS).is_file() or read_metrics(folder, Metrics)["test_accuracy"] is None:
            raise UserError(f"The run in {folder} is not finished: go on with selfprompt tune --resume {folder}.")
        return run_page(folder)
    if (folder / "table.json").is_file():
        whole = read_json(folder / "table.json", AGAIN)
        return bench_page(folder) if "benchmark" in whole else comparison_page(folder)
    raise UserError(f"{folder} holds no finished run, comparison or benchmark (no run.json or table.json).")
