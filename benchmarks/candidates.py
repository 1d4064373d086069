"""Combinations that might beat SPT and LoRA of as many trained numbers, by their best trial on validation images.

    python benchmarks/candidates.py --tasks mnist5k elpv/grade scenes/location --out DIR
    python benchmarks/candidates.py --tasks digits scenes/count ... --methods spt,lora:rank=5,BEST --seeds 3 --out DIR

With no ``--seeds`` no test image is looked at: each method has as many trials on each task, and the table has the
best one's validation accuracy. With some, each is run as often at its best settings, on training and validation
images together, and tested, and the table has what the last method has more than the others in the mean over tasks,
paired by seed, with Student's 95 % interval. 1,000 labelled images, 800 and 200 to choose the settings; the recipe of
`bench mini` with more epochs. Two combinations are made here alone: ``spt-lora``, SPT's prompts and LoRA's updates,
and ``spt-bias``, SPT's prompts and the backbone's biases. What is done stands in OUT and is not done again.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from statistics import mean
from typing import Any, ClassVar

from pydantic import Field
from scipy.stats import ttest_rel
from torch import nn

from selfprompt import methods
from selfprompt.backbones.base import Backbone
from selfprompt.comparison.bench import task_of
from selfprompt.comparison.compare import choose, compare, open_folder
from selfprompt.comparison.suites import MINI
from selfprompt.files import replace_file
from selfprompt.methods.spt import SPT
from selfprompt.prompts.insertion.base import Insertion
from selfprompt.prompts.insertion.deep import Deep
from selfprompt.prompts.insertion.low_rank import LowRank
from selfprompt.registry import Record
from selfprompt.reports.table import Column, markdown

TRIED = (
    "spt",
    "spt:prompt_rms=0.1",
    "lora:rank=5",
    "spt-lora:num_prompts=5:prompt_rms=0.1:rank=4",
    "spt-bias:num_prompts=10:prompt_rms=0.1",
    "e2vpt:num_prompts=15:prototypes=random:prompt_rms=0.1",
    "cvpt:prototypes=random:prompt_rms=0.1",
    "apt:num_prompts=12:prototypes=random:prompt_rms=0.1",
    "apt:num_prompts=12",
)
"""About 20,000 trained numbers each, beside the head's."""


class DeepAndLowRank(Deep):
    """Deep prompts, and beside them LoRA's updates of the projections.

    Args:
        rank: Of the updates.
        *args, **rest: See `Deep`.
    """

    def __init__(self, rank: int, *args: Any, **rest: Any) -> None:
        super().__init__(*args, **rest)
        self.updates = LowRank(rank, float(rank))

    def attach(self, backbone: Backbone, seed: int) -> None:
        self.updates.attach(backbone, seed)


class SPTLoRA(SPT):
    """SPT's prompts and LoRA's updates.

    Args:
        rank: Of the updates; 0 would leave them out.
    """

    name: ClassVar[str] = "spt-lora"
    rates: ClassVar[Mapping[str, float]] = {"mini": 1e-2}
    rank: int = Field(default=4, ge=1)

    def insertion(self, backbone: Backbone) -> Insertion:
        return DeepAndLowRank(self.rank, backbone.depth, self.count, backbone.width, keep_outputs=self.averages)


class SPTBias(SPT):
    """SPT's prompts and the backbone's biases."""

    name: ClassVar[str] = "spt-bias"
    rates: ClassVar[Mapping[str, float]] = {"mini": 1e-2}

    def trains(self, layer: nn.Module, name: str) -> bool:
        return name.endswith("bias")


OWN = {
    kind.name: Record(name=kind.name, idea="", entry=kind.__name__, module="candidates")
    for kind in (SPTLoRA, SPTBias)
}
methods.RECORDS = {**methods.RECORDS, **OWN}  # in worker processes, too


def write(out: Path, name: str, columns: list[Column[dict[str, Any]]], rows: list[dict[str, Any]]) -> None:
    """NAME.json and NAME.md."""
    replace_file(out / f"{name}.json", json.dumps(rows, indent=1) + "\n")
    replace_file(out / f"{name}.md", markdown([Column("method", lambda row: row["method"]), *columns], rows))


def searched(tasks: list[str], specs: list[str], out: Path, **changes: Any) -> None:
    """Each method's best trial on each task."""
    columns: list[Column[dict[str, Any]]] = [
        *(Column(task, lambda row, task=task: f"{row['best'][task]['val_accuracy']:.1f}") for task in tasks),
        Column("mean", lambda row: f"{mean(best['val_accuracy'] for best in row['best'].values()):.1f}"),
    ]
    rows: list[dict[str, Any]] = []
    for spec in specs:
        rows.append({"method": spec, "best": {}})
        for task in tasks:
            folder, comparison = out / task.replace("/", "-"), task_of(MINI, task, **changes)
            open_folder(comparison, folder)
            trials = choose(comparison, folder, spec)["trials"]
            rows[-1]["best"][task] = max(trials, key=lambda trial: trial["val_accuracy"])
            print(spec, task, rows[-1]["best"][task], flush=True)
        write(out, "searched", columns, rows)


def tested(tasks: list[str], specs: list[str], out: Path, seeds: int, **changes: Any) -> None:
    """Each method at its best settings, and the last against the others."""
    found: dict[str, dict[str, list[float]]] = {}
    for task in tasks:
        table = compare(task_of(MINI, task, **changes), specs, out / task.replace("/", "-"), seeds=seeds)
        found[task] = {row["method"]: row["test_accuracies"] for row in table["results"]}
    rows: list[dict[str, Any]] = []
    for spec in specs:
        each = {task: found[task][spec] for task in tasks}
        rows.append({"method": spec, "tasks": each, "mean": list(map(mean, zip(*each.values())))})
    last = rows[-1]["mean"]
    for row in rows[:-1]:
        low, high = ttest_rel(last, row["mean"]).confidence_interval()
        row["last"] = mean(last) - mean(row["mean"]), float(low), float(high)
    columns: list[Column[dict[str, Any]]] = [
        *(Column(task, lambda row, task=task: f"{mean(row['tasks'][task]):.1f}") for task in tasks),
        Column("mean", lambda row: f"{mean(row['mean']):.1f}"),
        Column(
            "last minus it", lambda row: "{:+.1f} ({:+.1f} to {:+.1f})".format(*row["last"]) if "last" in row else ""
        ),
    ]
    write(out, "tested", columns, rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", nargs="+", required=True)
    parser.add_argument("--methods", default=",".join(TRIED))
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--trials", type=int, default=4)
    parser.add_argument("--seeds", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    specs = methods.read_specs(given.methods)
    changes: dict[str, Any] = {"recipe": {"epochs": given.epochs}, "trials": given.trials}
    if given.seeds:
        tested(given.tasks, specs, given.out, given.seeds, **changes)
    else:
        searched(given.tasks, specs, given.out, **changes)


if __name__ == "__main__":
    main()
