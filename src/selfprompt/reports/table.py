"""One table as Markdown, CSV, LaTeX and JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Generic, NotRequired, TypeVar

from pydantic import ConfigDict, Field, with_config
from typing_extensions import TypedDict

from selfprompt import files, markup
from selfprompt.files import replace_file
from selfprompt.tuning.records import STRICT, Accuracy, Amount, Count, Positive

R = TypeVar("R")
R_contra = TypeVar("R_contra", contravariant=True)


@with_config(ConfigDict(extra="allow"))
class Tried(TypedDict):
    """One point of a search; ``decay`` is its factor on the recipe's weight decays."""

    lr: Annotated[float, Field(gt=0)]
    head_lr: NotRequired[Annotated[float, Field(gt=0)]]
    decay: NotRequired[float]
    val_accuracy: Accuracy


@with_config(STRICT)
class Precise(TypedDict):
    """A run or a row, by the precision that it was computed in."""

    precision: str


@with_config(STRICT)
class Result(TypedDict):
    """What is read again of a row of table.json; those who make rows say what more it holds."""

    method: str
    test_accuracy_mean: Accuracy
    test_accuracy_std: Amount
    trainable_parameters: Count
    seeds: Positive
    setting: NotRequired[str]
    trials: NotRequired[list[Tried]]
    p_value: NotRequired[Annotated[float, Field(gt=0, le=1)]]


@with_config(ConfigDict(extra="allow"))
class Whole(TypedDict):
    """What every table.json holds."""

    protocol: str
    precision: NotRequired[str]


@with_config(ConfigDict(extra="allow"))
class OfData(Whole, Generic[R]):
    """That of one data set."""

    dataset: str
    results: Annotated[list[R], Field(min_length=1)]


@with_config(ConfigDict(extra="allow"))
class Compared(OfData[R], Generic[R]):
    """A comparison's table.json."""

    settings: dict[str, Any]


@with_config(ConfigDict(extra="allow"))
class Benched(Whole, Generic[R]):
    """A benchmark's table.json."""

    benchmark: str
    backbone: str
    seen_in_pretraining: list[str]
    results: Annotated[list[R], Field(min_length=1)]
    settings: dict[str, Any]


@dataclass(frozen=True)
class Column(Generic[R_contra]):
    """A column's title, and the text that it makes of a row."""

    title: str
    text: Callable[[R_contra], str]


def spread(mean: float, deviation: float, seeds: int) -> str:
    """A mean and its deviation over seeds, which one seed has not."""
    return f"{mean:.1f} ± {deviation:.1f}" if seeds > 1 else f"{mean:.1f}"


def cells(columns: Sequence[Column[R]], rows: Sequence[R]) -> list[list[str]]:
    """The table's text, its title row first."""
    return [[c.title for c in columns], *([c.text(row) for c in columns] for row in rows)]


def markdown(columns: Sequence[Column[R]], rows: Sequence[R]) -> str:
    """A Markdown table."""
    title, *body = ([markup.markdown(cell) for cell in line] for line in cells(columns, rows))
    lines = [title, ["---"] * len(columns), *body]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def comma_separated(columns: Sequence[Column[R]], rows: Sequence[R]) -> str:
    """A CSV table."""
    return files.comma_separated(cells(columns, rows))


def latex(columns: Sequence[Column[R]], rows: Sequence[R]) -> str:
    """A LaTeX tabular with booktabs' rules."""
    head, *body = (" & ".join(map(markup.latex, line)) + r" \\" + "\n" for line in cells(columns, rows))
    return (
        f"\\begin{{tabular}}{{l{'r' * (len(columns) - 1)}}}\n\\toprule\n{head}\\midrule\n{''.join(body)}"
        "\\bottomrule\n\\end{tabular}\n"
    )


def all_precisions(found: Sequence[Precise]) -> str:
    """The precisions of runs or rows: ``float32``, or ``bf16 and float32`` where these are mixed."""
    return " and ".join(sorted({part for one in found for part in one["precision"].split(" and ")}))


def footer(table: Whole) -> str:
    """Protocol and precision of a table, as far as it says."""
    words = f"protocol {table['protocol']}"
    if precision := table.get("precision"):
        words += f", {precision}"
        if " and " in precision:
            words += " (rows of two precisions differ by more than their methods)"
    return words


def write_tables(folder: Path, stem: str, whole: Whole, columns: Sequence[Column[R]], rows: Sequence[R]) -> None:
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
