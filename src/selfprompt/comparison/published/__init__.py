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
        source: The paper (and where its numbers were read, if elsewhere).
        table: Which of its tables.
        selection: How it chose what it reports, as far as known.
        unverified: Whether the number was not seen in the paper itself.
        numbers: Top-1 accuracy in percent, by task or by group.
    """

    paper: str
    source: str
    table: str
    selection: str
    unverified: bool
    numbers: dict[str, float]

    def group(self, name: str, tasks: list[str]) -> float | None:
        """The mean of a group: as printed, or of its tasks where these are printed."""
        if name in self.numbers:
            return self.numbers[name]
        if tasks and all(task in self.numbers for task in tasks):
            return statistics.mean(self.numbers[task] for task in tasks)
        return None


@lru_cache
def published(benchmark: str, pretraining: str) -> dict[str, list[Published]]:
    """Rows by method (with fields where they matter, as ``vpt:shallow=true``), for a kind of backbone."""
    found: dict[str, list[Published]] = {}
    for path in sorted(Path(__file__).parent.glob("*.json")):
        paper = json.loads(path.read_text(encoding="utf-8"))
        for table in paper["tables"]:
            if (table["benchmark"], table["pretraining"]) == (benchmark, pretraining):
                for method, numbers in table["results"].items():
                    row = Published(
                        path.stem,
                        paper["source"],
                        table["table"],
                        table["selection"],
                        table.get("unverified", False),
                        numbers,
                    )
                    found.setdefault(method, []).append(row)
    return found
