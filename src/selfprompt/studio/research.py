"""Compare: finished runs by the hash of their protocol, each held against one of them on the same test examples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from fastapi import APIRouter, Response
from starlette.responses import PlainTextResponse

from selfprompt.errors import UserError
from selfprompt.reports.table import Column, comma_separated, latex
from selfprompt.scores.asked import WORDS
from selfprompt.scores.intervals import paired_difference, same
from selfprompt.scores.metrics import measured, paired_bootstrap, resampled
from selfprompt.studio.look import tested_in
from selfprompt.studio.offered import of
from selfprompt.studio.pages import Studio
from selfprompt.studio.take import attached
from selfprompt.studio.work import state
from selfprompt.tuning.answers import Answers
from selfprompt.tuning.records import Metrics, Tested, read_metrics, score_of


@dataclass(frozen=True)
class Finished:
    """A run that was tested.

    Args:
        name: Of the run.
        metrics: What it measured.
        answers: Those for the test; None where they were not kept.
        against: Points by which it differs from the run that it is held against, the ends of the 95 % interval, and
            the p-value; None where that cannot be said.
        reference: Whether it is that run itself.
    """

    name: str
    metrics: Tested
    answers: Answers | None = None
    against: tuple[float, float, float, float] | None = None
    reference: bool = False


def columns(runs: Sequence[Finished]) -> list[Column[Finished]]:
    """Those of a table of runs, which share their protocol, and with it the metric."""
    metric = runs[0].metrics.get("metric")
    accuracy = Column[Finished]("test accuracy, %", lambda row: f"{row.metrics['test_accuracy']:.1f}")
    score = Column[Finished](f"test {WORDS[metric or 'top1']}, %", lambda row: f"{score_of(row.metrics):.1f}")
    return [
        Column("run", lambda row: row.name),
        Column("method", lambda row: row.metrics["method"]),
        Column("backbone", lambda row: row.metrics["backbone"]),
        Column("seed", lambda row: str(row.metrics["seed"])),
        *([score] if metric else []),
        accuracy,
        Column("trained parameters", lambda row: f"{row.metrics['trainable_parameters']:,}"),
        Column("seconds", lambda row: f"{row.metrics['seconds']:.0f}"),
        Column("difference, points", lambda row: difference(row)),
        Column("p", lambda row: "" if row.against is None else f"{row.against[3]:.3f}"),
    ]


def difference(row: Finished) -> str:
    """Points, with the 95 % interval."""
    if row.against is None:
        return "reference" if row.reference else ""
    return "{:+.1f} [{:+.1f}, {:+.1f}]".format(*row.against[:3])


def finished(folders: dict[str, Path]) -> tuple[list[Finished], list[str]]:
    """The runs that were tested, and what is wrong with those that cannot be read."""
    found, wrong = [], []
    for name, folder in folders.items():
        try:
            if state(folder) == "done" and read_metrics(folder, Metrics)["test_accuracy"] is not None:
                found.append(Finished(name, *tested_in(folder)))
        except UserError as error:
            wrong.append(str(error))
    return found, wrong


def key(run: Finished) -> tuple[str, str]:
    """What runs must agree in to stand in one table."""
    return run.metrics["dataset"], run.metrics["protocol"]


def table(runs: Sequence[Finished], reference: str) -> list[Finished]:
    """Runs of one protocol, the best first, each held against a run, or where there is none of the name the best."""
    ordered = sorted(runs, key=lambda run: -score_of(run.metrics))
    best = next((run for run in ordered if run.name == reference), ordered[0])
    return [held(run, best) for run in ordered]


def held(run: Finished, best: Finished) -> Finished:
    """A run against another on the same examples, by the metric of their protocol."""
    own, other, metric = run.answers, best.answers, run.metrics.get("metric")
    if run is best:
        return replace(run, reference=True)
    if own is None or other is None or list(own.names) != list(other.names):
        return run
    if metric is None:
        points = [100 * value for value in paired_difference(own.right, other.right)]
        p = same(own.right.astype(int) - other.right.astype(int))
    else:
        drawn = [
            measured(metric, own.probabilities, own.labels, weights)
            - measured(metric, other.probabilities, other.labels, weights)
            for weights in resampled(len(own.labels))
        ]
        low, high, p = paired_bootstrap(np.concatenate(drawn))
        points = [score_of(run.metrics) - score_of(best.metrics), low, high]
    return replace(run, against=(points[0], points[1], points[2], p))


def routes(studio: Studio) -> APIRouter:
    """The pages."""
    router = APIRouter(prefix="/compare")

    def groups() -> tuple[dict[str, list[Finished]], list[str]]:
        found: dict[str, list[Finished]] = {}
        runs, wrong = finished(studio.offered.folders())
        for run in runs:
            found.setdefault(" ".join(key(run)), []).append(run)
        return found, wrong

    @router.get("")
    def page(group: str = "", reference: str = "") -> Response:
        known, wrong = groups()
        chosen = group if group in known else next(iter(known), "")
        rows = table(known[chosen], reference) if known else []
        shown = columns(rows) if rows else []
        rest = {
            "groups": {name: len(runs) for name, runs in known.items()},
            "chosen": chosen,
            "metric": rows[0].metrics.get("metric") if rows else None,
            "head": [column.title for column in shown],
            "rows": [(row, [column.text(row) for column in shown]) for row in rows],
            "others": [run for name, runs in known.items() if name != chosen for run in runs],
            "latex": latex(shown, rows) if rows else "",
            "wrong": wrong,
        }
        return studio.page("compare.html", words=WORDS, **rest)

    @router.get("/table.{kind}")
    def file(kind: str, group: str, reference: str = "") -> Response:
        write = of({"tex": latex, "csv": comma_separated}, kind, "kind of table")
        rows = table(of(groups()[0], group, "protocol"), reference)
        return PlainTextResponse(write(columns(rows), rows), headers=attached(f"runs.{kind}"))

    return router
