"""What papers report, one data file a paper, each number with its table; nothing here is typed into code.

A table's ``benchmark`` is a suite's name, and its numbers' places are the suite's groups and data sets, with what is
done at test time behind a comma (``shifted, tpt``; see `selfprompt.comparison.beyond`). Benchmarks that are not run
here have names of their own, and the places that the paper names. A paper of whose own tables none could be read has
no tables, and says so under ``none``.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Published:
    """One method's row of one published table.

    Args:
        paper: The data file's name, such as ``spt2024``.
        copied: The paper from which it copied the row; None for runs of its own.
        source: The paper whose runs these are (and where the numbers were read, if elsewhere).
        table: Which of its tables.
        selection: How the runs chose what they report, as far as known.
        unverified: Whether the number was not seen in the paper itself.
        numbers: In percent, by task or by group.
        benchmark: Of which it is: a suite's name, or another's.
        pretraining: The kind of backbone.
        architecture: The backbone's, where the table names one; else a ViT-B.
        metric: What the numbers are.
    """

    paper: str
    copied: str | None
    source: str
    table: str
    selection: str
    unverified: bool
    numbers: dict[str, float]
    benchmark: str
    pretraining: str
    architecture: str
    metric: str

    @property
    def label(self) -> str:
        """Whose numbers these are, in a few words."""
        return f"{self.copied} in {self.paper}" if self.copied else self.paper

    def group(self, name: str, tasks: list[str]) -> float | None:
        """The mean of a group: as printed, or of its tasks where these are printed."""
        if name in self.numbers:
            return self.numbers[name]
        if tasks and all(task in self.numbers for task in tasks):
            return statistics.mean(self.numbers[task] for task in tasks)
        return None


@lru_cache
def papers() -> dict[str, dict[str, Any]]:
    """The data files by name."""
    paths = sorted(Path(__file__).parent.glob("*.json"))
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in paths}


def every() -> Iterator[tuple[str, Published]]:
    """Every row, and its method (with fields where they matter, as ``vpt:shallow=true``)."""
    for name, paper in papers().items():
        for table in paper["tables"]:
            for method, numbers in table["results"].items():
                copied = table.get("copied", {}).get(method)
                origin = paper["papers"][copied] if copied else paper | table
                yield (
                    method,
                    Published(
                        name,
                        copied,
                        origin["source"],
                        table["table"],
                        origin["selection"],
                        table.get("unverified", False),
                        numbers,
                        table["benchmark"],
                        table["pretraining"],
                        table.get("architecture", ""),
                        table.get("metric", "top-1 accuracy"),
                    ),
                )


def reported(benchmark: str) -> list[str]:
    """The methods of which papers report numbers on a benchmark."""
    return [*dict.fromkeys(method for method, row in every() if row.benchmark == benchmark)]


def published(benchmark: str, pretraining: str, architecture: str = "") -> dict[str, list[Published]]:
    """Rows by method, for a kind of backbone.

    Tables that name an architecture are of it alone, with either activation; the others are of a ViT-B.
    """
    found: dict[str, list[Published]] = {}
    known = architecture.removesuffix("-quickgelu")
    for method, row in every():
        if (row.benchmark, row.pretraining) == (benchmark, pretraining) and row.architecture in ("", known):
            found.setdefault(method, []).append(row)
    return found
