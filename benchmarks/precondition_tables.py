"""The table of precondition.py, from its cells."""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any

from selfprompt.files import replace_file
from selfprompt.reports.table import Column, markdown

WHERE = ("backbone", "data", "train", "test")
ORDER = ("uniform", "prototypes", "gaussian", "centred", "isotropic", "other", "image", "shuffled")


def rows_of(cells: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row for each backbone, task, insertion, number of prompts and readout: the accuracies by start and seed."""
    rows: dict[tuple[Any, ...], dict[str, Any]] = {}
    bare = {tuple(c[k] for k in WHERE): c["accuracy"] for c in cells if c["start"] == "none"}
    for cell in (c for c in cells if c["start"] != "none"):
        where = tuple(cell[k] for k in WHERE)
        for head, readout, accuracy in ((h, r, a) for h, by in cell["accuracy"].items() for r, a in by.items()):
            key = (*where, cell["shallow"], cell["prompts"], head, readout)
            named = dict(zip((*WHERE, "shallow", "prompts", "head", "readout"), key))
            row = rows.setdefault(key, {**named, "none": bare[where][head][readout], "starts": {}})
            row["starts"].setdefault(cell["start"], {})[cell["seed"]] = accuracy
    for row in rows.values():
        row["starts"] = {start: [by[s] for s in sorted(by)] for start, by in row["starts"].items()}
    return list(rows.values())


def holds(row: dict[str, Any]) -> bool:
    """Whether every seed's random start costs five points or more, and prototypes lose no more than half of that."""
    starts = row["starts"]
    if not {"uniform", "prototypes"} <= starts.keys() or row["none"] - max(starts["uniform"]) < 5:
        return False
    lost = row["none"] - statistics.mean(starts["uniform"])
    return row["none"] - statistics.mean(starts["prototypes"]) <= lost / 2


def differences(rows: list[dict[str, Any]], start: str) -> list[float]:
    """A start against none, of every row and seed."""
    return [accuracy - row["none"] for row in rows for accuracy in row["starts"].get(start, ())]


def with_range(found: list[float]) -> str:
    """The mean, and from where to where; nothing of nothing."""
    return f"{statistics.mean(found):+.1f} ({min(found):+.1f} to {max(found):+.1f})" if found else ""


def insertion(row: dict[str, Any]) -> str:
    """How many prompts, and where."""
    return f"{row['prompts']} {'shallow' if row['shallow'] else 'deep'}"


def write(out: Path, cells: list[dict[str, Any]]) -> None:
    """Write table.json and table.md, with every task, and summary.md, over tasks."""
    rows = rows_of(cells)
    shown = [start for start in ORDER if any(start in row["starts"] for row in rows)]
    first = [Column("backbone", lambda r: r["backbone"]), Column("prompts", insertion)]
    first += [Column(name, lambda r, name=name: r[name]) for name in ("head", "readout")]
    each = [Column(start, lambda r, start=start: with_range(differences([r], start))) for start in shown]
    task = [Column("task", lambda r: r["data"]), Column("none", lambda r: f"{r['none']:.1f}")]
    columns = [*first, *task, *each, Column("holds", lambda r: "yes" if holds(r) else "")]
    replace_file(out / "table.json", json.dumps(rows, indent=1) + "\n")
    replace_file(out / "table.md", markdown(columns, rows))

    groups: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault(tuple(column.text(row) for column in first), []).append(row)
    over = [Column(start, lambda r, start=start: with_range(differences(r["rows"], start))) for start in shown]
    where = Column("holds for", lambda r: ", ".join(row["data"] for row in r["rows"] if holds(row)) or "none")
    tasks = Column("tasks", lambda r: str(len(r["rows"])))
    found = [{**dict(zip(("backbone", "prompts", "head", "readout"), key)), "rows": g} for key, g in groups.items()]
    named = [Column(name, lambda r, name=name: r[name]) for name in ("backbone", "prompts", "head", "readout")]
    replace_file(out / "summary.md", markdown([*named, tasks, *over, where], found))
