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
    """Whether every seed's random start costs five points or more, and prototypes give five of them back.

    Of 500 test images, the standard error of a difference is some three points.
    """
    uniform, prototypes = (row["starts"].get(start) for start in ("uniform", "prototypes"))
    if not uniform or not prototypes:
        return False
    return row["none"] - max(uniform) >= 5 and statistics.mean(prototypes) - statistics.mean(uniform) >= 5


def difference(row: dict[str, Any], start: str) -> str:
    """A start against none, the mean of its seeds and their range."""
    found = [accuracy - row["none"] for accuracy in row["starts"].get(start, ())]
    return f"{statistics.mean(found):+.1f} ({min(found):+.1f} to {max(found):+.1f})" if found else ""


def write(out: Path, cells: list[dict[str, Any]]) -> None:
    """Write table.json and table.md."""
    rows = sorted(rows_of(cells), key=lambda r: (r["backbone"], r["data"], r["shallow"], -r["prompts"]))
    columns = [
        Column(title, lambda r, key=key: r[key]) for key, title in (("backbone", "backbone"), ("data", "task"))
    ]
    columns.append(Column("prompts", lambda r: f"{r['prompts']} {'shallow' if r['shallow'] else 'deep'}"))
    columns += [Column(name, lambda r, name=name: r[name]) for name in ("head", "readout")]
    columns.append(Column("none", lambda r: f"{r['none']:.1f}"))
    shown = [start for start in ORDER if any(start in row["starts"] for row in rows)]
    columns += [Column(start, lambda r, start=start: difference(r, start)) for start in shown]
    columns.append(Column("holds", lambda r: "yes" if holds(r) else ""))
    replace_file(out / "table.json", json.dumps(rows, indent=1) + "\n")
    replace_file(out / "table.md", markdown(columns, rows))
