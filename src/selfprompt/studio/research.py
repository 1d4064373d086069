"""Compare: finished runs by the hash of their protocol, each held against one of them on the same test examples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fastapi import APIRouter, Response
from starlette.responses import PlainTextResponse

from selfprompt.errors import UserError
from selfprompt.reports.table import Column, comma_separated, latex
from selfprompt.scores.intervals import paired_difference, same
from selfprompt.studio.offered import of
from selfprompt.studio.pages import Studio
from selfprompt.studio.take import attached
from selfprompt.studio.work import state
from selfprompt.tuning.answers import Answers, read_answers
from selfprompt.tuning.records import Tested, read_metrics


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


COLUMNS: Sequence[Column[Finished]] = (
    Column("run", lambda row: row.name),
    Column("method", lambda row: row.metrics["method"]),
    Column("backbone", lambda row: row.metrics["backbone"]),
    Column("seed", lambda row: str(row.metrics["seed"])),
    Column("test accuracy, %", lambda row: f"{row.metrics['test_accuracy']:.1f}"),
    Column("trained parameters", lambda row: f"{row.metrics['trainable_parameters']:,}"),
    Column("seconds", lambda row: f"{row.metrics['seconds']:.0f}"),
    Column("difference, points", lambda row: difference(row)),
    Column("p", lambda row: "" if row.against is None else f"{row.against[3]:.3f}"),
)


def difference(row: Finished) -> str:
    """Points, with the 95 % interval."""
    if row.against is None:
        return "reference" if row.reference else ""
    return "{:+.1f} [{:+.1f}, {:+.1f}]".format(*row.against[:3])


def finished(folders: dict[str, Path]) -> list[Finished]:
    """The runs that were tested, whichever of them can be read."""
    found = []
    for name, folder in folders.items():
        try:
            if state(folder) == "done":
                found.append(Finished(name, read_metrics(folder, Tested), read_answers(folder).get("test")))
        except UserError:
            continue
    return found


def key(run: Finished) -> tuple[str, str]:
    """What runs must agree in to stand in one table."""
    return run.metrics["dataset"], run.metrics["protocol"]


def table(runs: Sequence[Finished], reference: str) -> list[Finished]:
    """Runs of one protocol, the best first, each held against a run, or where there is none of the name the best."""
    ordered = sorted(runs, key=lambda run: -run.metrics["test_accuracy"])
    best = next((run for run in ordered if run.name == reference), ordered[0])
    return [held(run, best) for run in ordered]


def held(run: Finished, best: Finished) -> Finished:
    """A run against another on the same examples."""
    own, other = run.answers, best.answers
    if run is best:
        return Finished(run.name, run.metrics, own, None, True)
    if own is None or other is None or list(own.names) != list(other.names):
        return run
    points = [100 * value for value in paired_difference(own.right, other.right)]
    p = same(own.right.astype(int) - other.right.astype(int))
    return Finished(run.name, run.metrics, own, (points[0], points[1], points[2], p))


def routes(studio: Studio) -> APIRouter:
    """The pages."""
    router = APIRouter(prefix="/compare")

    def groups() -> dict[str, list[Finished]]:
        found: dict[str, list[Finished]] = {}
        for run in finished(studio.offered.folders()):
            found.setdefault(" ".join(key(run)), []).append(run)
        return found

    @router.get("")
    def page(group: str = "", reference: str = "") -> Response:
        known = groups()
        chosen = group if group in known else next(iter(known), "")
        rows = table(known[chosen], reference) if known else []
        others = [run for name, runs in known.items() if name != chosen for run in runs]
        text = latex(COLUMNS, rows) if rows else ""
        head = [column.title for column in COLUMNS]
        rest = {"groups": {n: len(r) for n, r in known.items()}, "chosen": chosen, "others": others, "latex": text}
        cells = [(row, [column.text(row) for column in COLUMNS]) for row in rows]
        return studio.page("compare.html", head=head, rows=cells, columns=COLUMNS, **rest)

    @router.get("/table.{kind}")
    def file(kind: str, group: str, reference: str = "") -> Response:
        write = of({"tex": latex, "csv": comma_separated}, kind, "kind of table")
        rows = table(of(groups(), group, "protocol"), reference)
        return PlainTextResponse(write(COLUMNS, rows), headers=attached(f"runs.{kind}"))

    return router
