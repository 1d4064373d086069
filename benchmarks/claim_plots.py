"""The plots of docs/does-spt-beat-vpt.md, from the committed tables.

python benchmarks/claim_plots.py
"""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt

HERE = Path(__file__).parent
DOCS = HERE.parent / "docs"
SPT, SCALED, VPT = "spt", "spt:prompt_rms=0.1", "vpt"
FROZEN_SPT, FROZEN_VPT = "spt:frozen_prompts=true", "vpt:frozen_prompts=true"
COLOURS = {VPT: "#7a7a7a", SPT: "#c8553d", SCALED: "#2a6f97", "linear": "#b8b8b8"}
matplotlib.rcParams.update({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False})
matplotlib.rcParams.update({"svg.hashsalt": "selfprompt", "svg.fonttype": "none"})


def save(figure: Any, name: str) -> None:
    figure.tight_layout()
    figure.savefig(DOCS / name, metadata={"Date": None})
    plt.close(figure)


def differences(table: dict) -> None:
    """SPT minus VPT on every task: as published, rescaled, and with frozen prompts."""
    methods = {r["method"]: r["tasks"] for r in table["results"]}
    tasks = list(methods[VPT])
    pairs = [(SPT, VPT, "as published", COLOURS[SPT]), (SCALED, VPT, "rescaled", COLOURS[SCALED])]
    pairs.append((FROZEN_SPT, FROZEN_VPT, "frozen prompts", "#e0a458"))
    figure, axes = plt.subplots(figsize=(7, 4))
    for shift, (ours, theirs, label, colour) in zip((-0.25, 0, 0.25), pairs):
        for place, task in enumerate(tasks):
            each = [
                a - b
                for a, b in zip(methods[ours][task]["test_accuracies"], methods[theirs][task]["test_accuracies"])
            ]
            axes.errorbar(
                statistics.mean(each),
                place + shift,
                xerr=statistics.stdev(each),
                fmt="o",
                color=colour,
                capsize=2,
                markersize=4,
                label=label if place == 0 else None,
            )
    axes.axvline(0, color="black", linewidth=0.8)
    axes.axvline(10, color="black", linewidth=0.8, linestyle=":")
    axes.annotate("the claim: +10 ", (10, 4), ha="right", fontsize=8)
    axes.set_yticks(range(len(tasks)), tasks)
    axes.invert_yaxis()
    axes.set_xlabel("SPT minus VPT, points of test accuracy (mean and deviation over seeds)")
    axes.legend(frameon=False, loc="lower left")
    save(figure, "spt-minus-vpt.svg")


def rates(table: dict) -> None:
    """Validation accuracy of every trial against its learning rate, relative to the task's best."""
    figure, axes = plt.subplots(figsize=(7, 3.2))
    methods = {r["method"]: r["tasks"] for r in table["results"]}
    for method in (VPT, SPT, SCALED):
        for number, (task, row) in enumerate(methods[method].items()):
            top = max(t["val_accuracy"] for m in (VPT, SPT, SCALED) for t in methods[m][task]["trials"])
            points = sorted((t["lr"], t["val_accuracy"] - top) for t in row["trials"])
            label = method if number == 0 else None
            axes.plot(*zip(*points), "o-", color=COLOURS[method], alpha=0.6, markersize=3, linewidth=1, label=label)
    axes.set_xscale("log")
    axes.set_xlabel("learning rate of AdamW")
    axes.set_ylabel("validation accuracy,\nbelow the task's best")
    axes.legend(frameon=False)
    save(figure, "learning-rates.svg")


def starts(rows: list[dict]) -> None:
    """Two starts under two recipes, by epochs."""
    figure, axes = plt.subplots(figsize=(7, 3.2))
    for recipe, line in (("VPT's", "--"), ("SPT's", "-")):
        for start, colour in (("uniform", COLOURS[VPT]), ("prototypes", COLOURS[SPT])):
            own = [row["starts"][start] | {"epochs": row["epochs"]} for row in rows if row["recipe"] == recipe]
            axes.errorbar(
                [row["epochs"] for row in own],
                [row["test_accuracy_mean"] for row in own],
                yerr=[row["test_accuracy_std"] for row in own],
                fmt="o" + line,
                color=colour,
                capsize=2,
                markersize=4,
                label=f"{start}, {recipe} recipe",
            )
    axes.set_xlabel("epochs")
    axes.set_ylabel("test accuracy, %\n(mean and deviation over seeds)")
    axes.legend(frameon=False)
    save(figure, "start-by-recipe.svg")


def main() -> None:
    mini = json.loads((HERE / "results" / "mini" / "table.json").read_text(encoding="utf-8"))
    differences(mini)
    rates(mini)
    path = HERE / "results" / "start-and-recipe" / "table.json"
    starts(json.loads(path.read_text(encoding="utf-8")))


if __name__ == "__main__":
    main()
