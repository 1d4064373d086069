"""A study: comparisons that differ in one setting, in one table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from selfprompt.comparison.compare import Comparison, check_methods, measure, open_folder
from selfprompt.comparison.rows import COLUMNS, Row
from selfprompt.comparison.studies import Study
from selfprompt.comparison.workers import Workers
from selfprompt.files import claimed
from selfprompt.methods import read_specs
from selfprompt.reports.table import Column, Compared, all_precisions, write_tables


def run_study(
    study: Study,
    methods: str | Sequence[str],
    make: Callable[[str | None, dict[str, Any]], Comparison],
    out: Path,
    *,
    seeds: int = 3,
    workers: Workers | None = None,
) -> Compared[Row]:
    """Run a study and write its table; started again, it goes on where it was stopped.

    Args:
        study: What is varied.
        methods: The methods; in one text, with commas between.
        make: The comparison with a backbone (None is the user's) and changes to the protocol.
        out: The folder; every variation has one of its own in it.
        seeds: Runs of each method at its best settings.
        workers: Who does it; one process after the other by default.

    Returns:
        The table. Its rows are of several protocols where the variations are, and each has its ``setting``.

    Raises:
        UserError: As `compare` does.
    """
    methods = read_specs(methods)
    work, labels = [], []
    for label, backbone, changes in study.variations:
        comparison = make(backbone, changes)
        check_methods(comparison, methods)
        for spec in methods:
            work.append((comparison, out / label.replace(" ", "-").replace("/", "-"), spec))
            labels.append(label)
    with claimed(out):
        for comparison, folder, _ in work:
            open_folder(comparison, folder)
        measured = measure(work, seeds, workers or Workers())
    rows: list[Row] = [{"setting": label, **row} for label, row in zip(labels, measured)]
    first = work[0][0]
    table: Compared[Row] = {
        "protocol": first.protocol.hash,
        "dataset": first.data,
        "results": rows,
        "precision": all_precisions(rows),
        "settings": first.model_dump(mode="json"),
    }
    more: tuple[Column[Row], ...] = (
        Column("setting", lambda r: r.get("setting", "")),
        Column("protocol", lambda r: r["protocol"]),
    )
    columns = (*COLUMNS[:1], *more, *COLUMNS[1:]) if len(study.variations) > 1 else COLUMNS
    write_tables(out, "table", table, columns, rows)
    return table
