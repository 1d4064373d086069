"""What papers report, one data file a paper, each number with its table; nothing here is typed into code."""

from __future__ import annotations

import json
import statistics
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path


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
        numbers: Top-1 accuracy in percent, by task or by group.
    """

    paper: str
    copied: str | None
    source: str
    table: str
    selection: str
    unverified: bool
    numbers: dict[str, float]

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
def reported(benchmark: str) -> list[str]:
    """The methods of which papers report numbers on a benchmark."""
    papers = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(Path(__file__).parent.glob("*.json"))]
    tables = [table for paper in papers for table in paper["tables"] if table["benchmark"] == benchmark]
    return [*dict.fromkeys(method for table in tables for method in table["results"])]


def published(benchmark: str, pretraining: str, architecture: str = "") -> dict[str, list[Published]]:
    """Rows by method (with fields where they matter, as ``vpt:shallow=true``), for a kind of backbone.

    Tables that name an architecture are of it alone; the others are of a ViT-B.
    """
    found: dict[str, list[Published]] = {}
    for path in sorted(Path(__file__).parent.glob("*.json")):
        paper = json.loads(path.read_text(encoding="utf-8"))
        for table in paper["tables"]:
            if (table["benchmark"], table["pretraining"]) == (benchmark, pretraining) and architecture.startswith(
                table.get("architecture", "")
            ):
                for method, numbers in table["results"].items():
                    copied = table.get("copied", {}).get(method)
                    origin = paper["papers"][copied] if copied else paper | table
                    row = Published(
                        path.stem,
                        copied,
                        origin["source"],
                        table["table"],
                        origin["selection"],
                        table.get("unverified", False),
                        numbers,
                    )
                    found.setdefault(method, []).append(row)
    return found
