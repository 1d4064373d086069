"""The pages of a comparison and of a benchmark."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from selfprompt.errors import UserError
from selfprompt.files import read_as, read_text
from selfprompt.reports import figures
from selfprompt.reports.page import Section, write_page
from selfprompt.reports.run import again, said
from selfprompt.reports.table import Benched, Compared, Result, footer, read_markdown

PAIRED = (
    "Each difference to the best method is tested by itself, on the same test examples: how many of the seeds' runs "
    "answer each rightly, the sign of each difference tossed (with one seed, McNemar's exact test). Above p = 0.05 "
    "the examples do not bear it out. A metric other than the accuracy is measured on examples drawn anew with "
    "replacement, 1,000 times. How much other seeds would change is the deviation's to say, not the test's."
)
AGAIN = "give the command that made it again; what is done is not done again"


def comparison_page(folder: Path) -> Path:
    """Write the report of the finished comparison in a folder."""
    table = read_as(folder / "table.json", Compared[Result], AGAIN)
    rows, settings = table["results"], table["settings"]
    return write_page(
        folder,
        f"{len(rows)} methods on {table['dataset']}",
        f"One protocol and the same search for each, {rows[0]['seeds']} seeds; {footer(table)}.",
        [s for s in (again(folder), results(folder, "table.md", rows), searches(rows), ways(settings)) if s],
    )


def bench_page(folder: Path) -> Path:
    """Write the report of the finished benchmark in a folder."""
    table = read_as(folder / "table.json", Benched[Result], AGAIN)
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
    lines = read_markdown(read_text(path, AGAIN))
    if not lines[0]:
        raise UserError(f"{path} is damaged (it holds no table): {AGAIN}.")
    return [[cell.replace(" ± ", "\u00a0±\u00a0") for cell in line] for line in lines]


def results(folder: Path, name: str, rows: Sequence[Result]) -> Section:
    """The table, and accuracy over trained parameters."""
    head, *body = cells(folder / name)
    words = PAIRED if any("p_value" in row for row in rows) else ""
    plot = figures.accuracies(rows), "bars: one deviation over seeds"
    return Section("Results", words, plots=[plot], head=head, rows=body)


def searches(rows: Sequence[Result]) -> Section:
    """Every trial of every search."""
    plots = []
    for row in rows:
        by_rate: dict[float, float] = {}
        for trial in row.get("trials", ()):
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
