"""The pages of a comparison and of a benchmark."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from selfprompt.reports import figures
from selfprompt.reports.page import Section, write_page
from selfprompt.reports.run import again, said
from selfprompt.reports.table import footer, read_markdown


def comparison_page(folder: Path) -> Path:
    """Write the report of the finished comparison in a folder."""
    table = json.loads((folder / "table.json").read_text())
    rows, settings = table["results"], table["settings"]
    return write_page(
        folder,
        f"{len(rows)} methods on {table['dataset']}",
        f"One protocol and the same search for each, {rows[0]['seeds']} seeds; {footer(table)}.",
        [s for s in (again(folder), results(folder, "table.md", rows), searches(rows), ways(settings)) if s],
    )


def bench_page(folder: Path) -> Path:
    """Write the report of the finished benchmark in a folder."""
    table = json.loads((folder / "table.json").read_text())
    rows = table["results"]
    head, *body = cells(folder / "tasks.md")
    tasks = Section("By task", "Mean and deviation over seeds.", head=head, rows=body)
    words = f"{len(rows)} methods with {table['backbone']}, {rows[0]['seeds']} seeds; {footer(table)}."
    if table["seen_in_pretraining"]:
        seen = ", ".join(table["seen_in_pretraining"])
        words += f" The backbone was pretrained on the images of {seen} (†), which no mean counts."
    parts = (again(folder), results(folder, "table.md", rows), tasks, ways(table["settings"]))
    return write_page(folder, f"Benchmark {table['benchmark']}", words, [s for s in parts if s])


def cells(path: Path) -> list[list[str]]:
    """A Markdown table's cells, their deviations never on a line of their own."""
    return [[cell.replace(" ± ", "\u00a0±\u00a0") for cell in line] for line in read_markdown(path.read_text())]


def results(folder: Path, name: str, rows: Sequence[dict[str, Any]]) -> Section:
    """The table, and accuracy over trained parameters."""
    head, *body = cells(folder / name)
    return Section(
        "Results", plots=[(figures.accuracies(rows), "bars: one deviation over seeds")], head=head, rows=body
    )


def searches(rows: Sequence[dict[str, Any]]) -> Section:
    """Every trial of every search."""
    plots = []
    for row in rows:
        by_rate: dict[float, float] = {}
        for trial in row["trials"]:
            by_rate[trial["lr"]] = max(trial["val_accuracy"], by_rate.get(trial["lr"], 0.0))
        rates = sorted(by_rate)
        name = " ".join([row["method"], row.get("setting", "")])
        line = {name: [by_rate[rate] for rate in rates]}
        plots.append(
            (figures.curves(rates, line, "learning rate", "validation accuracy, %", log=True), row["method"])
        )
    words = "The best of each learning rate's trials. Where the best stands at an end, more trials may do better."
    return Section("Searches", words, plots=plots)


def ways(settings: dict[str, Any]) -> Section:
    """The settings that all methods share."""
    rows = [(key, said(value) if isinstance(value, dict) else value) for key, value in settings.items() if value]
    return Section("Settings", rows=rows)
