"""One table as Markdown, CSV, LaTeX and JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selfprompt.adapters import replace_file

LATEX = {"%": r"\%", "_": r"\_", "&": r"\&", "#": r"\#", "±": r"$\pm$"}


@dataclass(frozen=True)
class Column:
    """A column's title, and the text that it makes of a row."""

    title: str
    text: Callable[[dict[str, Any]], str]


def markdown(columns: Sequence[Column], rows: Sequence[dict[str, Any]]) -> str:
    """A Markdown table."""
    lines = [[c.title for c in columns], ["---"] * len(columns), *([c.text(row) for c in columns] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def comma_separated(columns: Sequence[Column], rows: Sequence[dict[str, Any]]) -> str:
    """A CSV table."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([c.title for c in columns])
    writer.writerows([[c.text(row) for c in columns] for row in rows])
    return out.getvalue()


def latex(columns: Sequence[Column], rows: Sequence[dict[str, Any]]) -> str:
    """A LaTeX tabular with booktabs' rules."""

    def line(cells: list[str]) -> str:
        escaped = ["".join(LATEX.get(letter, letter) for letter in cell) for cell in cells]
        return " & ".join(escaped) + r" \\" + "\n"

    body = "".join(line([c.text(row) for c in columns]) for row in rows)
    head = line([c.title for c in columns])
    return (
        f"\\begin{{tabular}}{{l{'r' * (len(columns) - 1)}}}\n\\toprule\n{head}\\midrule\n{body}"
        "\\bottomrule\n\\end{tabular}\n"
    )


def all_precisions(found: Sequence[dict[str, Any]]) -> str:
    """The precisions of runs or rows: ``float32``, or ``bf16 and float32`` where these are mixed."""
    return " and ".join(sorted({part for one in found for part in one["precision"].split(" and ")}))


def footer(table: dict[str, Any]) -> str:
    """Protocol and precision of a table, as far as it says."""
    words = f"protocol {table['protocol']}"
    if precision := table.get("precision"):
        words += f", {precision}"
        if " and " in precision:
            words += " (rows of two precisions differ by more than their methods)"
    return words


def write_tables(
    folder: Path, stem: str, whole: dict[str, Any], columns: Sequence[Column], rows: Sequence[dict[str, Any]]
) -> None:
    """Write STEM.md, .csv and .tex of the columns, and STEM.json of everything."""
    folder.mkdir(parents=True, exist_ok=True)
    for suffix, text in (
        ("md", markdown(columns, rows)),
        ("csv", comma_separated(columns, rows)),
        ("tex", latex(columns, rows)),
        ("json", json.dumps(whole, indent=2) + "\n"),
    ):
        replace_file(folder / f"{stem}.{suffix}", text.encode())


def read_markdown(text: str) -> list[list[str]]:
    """The cells of a table that `markdown` wrote, its title row first."""
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines()]
    return [lines[0], *lines[2:]]
