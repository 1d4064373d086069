"""One table as Markdown, CSV, LaTeX and JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selfprompt import files, markup
from selfprompt.files import replace_file


@dataclass(frozen=True)
class Column:
    """A column's title, and the text that it makes of a row."""

    title: str
    text: Callable[[dict[str, Any]], str]


def cells(columns: Sequence[Column], rows: Sequence[dict[str, Any]]) -> list[list[str]]:
    """The table's text, its title row first."""
    return [[c.title for c in columns], *([c.text(row) for c in columns] for row in rows)]


def markdown(columns: Sequence[Column], rows: Sequence[dict[str, Any]]) -> str:
    """A Markdown table."""
    title, *body = ([markup.markdown(cell) for cell in line] for line in cells(columns, rows))
    lines = [title, ["---"] * len(columns), *body]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def comma_separated(columns: Sequence[Column], rows: Sequence[dict[str, Any]]) -> str:
    """A CSV table."""
    return files.comma_separated(cells(columns, rows))


def latex(columns: Sequence[Column], rows: Sequence[dict[str, Any]]) -> str:
    """A LaTeX tabular with booktabs' rules."""
    head, *body = (" & ".join(map(markup.latex, line)) + r" \\" + "\n" for line in cells(columns, rows))
    return (
        f"\\begin{{tabular}}{{l{'r' * (len(columns) - 1)}}}\n\\toprule\n{head}\\midrule\n{''.join(body)}"
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
    for suffix, text in (
        ("md", markdown(columns, rows)),
        ("csv", comma_separated(columns, rows)),
        ("tex", latex(columns, rows)),
        ("json", json.dumps(whole, indent=2) + "\n"),
    ):
        replace_file(folder / f"{stem}.{suffix}", text)


def read_markdown(text: str) -> list[list[str]]:
    """The cells of a table that `markdown` wrote, its title row first."""
    lines = [re.findall(r"((?:\\.|[^\\|])*)\|", line)[1:] for line in text.splitlines()]
    lines = [[re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", cell.strip()) for cell in line] for line in lines]
    return [lines[0] if lines else [], *lines[2:]]
