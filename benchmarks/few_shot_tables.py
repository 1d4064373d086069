"""What `bench mini-clip` measured, as tables of docs/images-and-words.md: arms, effects, intervals, shots, shifts.

    selfprompt bench mini-clip --out benchmarks/results/mini-clip/base-to-new
    selfprompt bench mini-clip --preset shift --out benchmarks/results/mini-clip/shift
    selfprompt bench mini-clip --shots 1 --methods "coop:words=a photo of a,linear" \\
        --out benchmarks/results/mini-clip/shots-1
    python benchmarks/few_shot_tables.py benchmarks/results/mini-clip

A difference is the mean over tasks, each the mean over seeds, paired, with Student's 95 % interval over tasks; of
shifted digits, over the four shifts.
"""

from __future__ import annotations

import json
import statistics
import sys
from pathlib import Path
from typing import Any

from scipy.stats import ttest_1samp

from selfprompt.comparison.beyond import BY
from selfprompt.comparison.suites import BASE_TO_NEW, SHIFT, WORDS

COOP, SUBPT = f"coop:{WORDS}", f"subpt:{WORDS}"
LABELS = {
    "zeroshot": "zero-shot",
    "linear": "linear probe",
    COOP: "CoOp from words",
    f"{COOP}:epochs=10": "CoOp, a quarter of the epochs",
    "coop": "CoOp at random, M = 16",
    f"{COOP}:nfl_names=new": "CoOp + NFL on the new names",
    f"{COOP}:nfl_names=imagenet": "CoOp + NFL on unrelated names",
    SUBPT: "SubPT",
    f"{SUBPT}:nfl_names=new": "SubPT + NFL",
    f"{SUBPT}:subspace=late": "late directions",
    f"{SUBPT}:subspace=random": "random directions",
    "cocoop:epochs=10": "CoCoOp",
    "vpt:epochs=10": "VPT",
    "spt:epochs=10": "SPT",
    "apt:epochs=10": "APT, both towers",
    f"{COOP}:image_prompts=20:epochs=10": "CoOp with VPT",
    f"{COOP}:image_prompts=20:prototypes=mean:epochs=10": "CoOp with SPT's prototypes",
}
EFFECTS = (
    ("CoOp gains on the classes it saw", "base", COOP, "zeroshot"),
    ("CoOp is above a linear probe", "base", COOP, "linear"),
    ("CoOp loses on new classes", "new", COOP, "zeroshot"),
    ("NFL repairs them", "new", f"{COOP}:nfl_names=new", COOP),
    ("so do unrelated names", "new", f"{COOP}:nfl_names=imagenet", COOP),
    ("new names are better than unrelated ones", "new", f"{COOP}:nfl_names=new", f"{COOP}:nfl_names=imagenet"),
    ("NFL's price on base classes", "base", f"{COOP}:nfl_names=new", COOP),
    ("stopping early repairs them", "new", f"{COOP}:epochs=10", COOP),
    ("SubPT repairs them", "new", SUBPT, COOP),
    ("SubPT is above stopping early", "new", SUBPT, f"{COOP}:epochs=10"),
    ("SubPT is above late directions", "new", SUBPT, f"{SUBPT}:subspace=late"),
    ("SubPT is above random directions", "new", SUBPT, f"{SUBPT}:subspace=random"),
    ("SubPT's price on base classes", "base", SUBPT, COOP),
    ("SubPT + NFL is above NFL", "H", f"{SUBPT}:nfl_names=new", f"{COOP}:nfl_names=new"),
    ("CoCoOp is above CoOp on new classes", "new", "cocoop:epochs=10", COOP),
    ("and above CoOp of as many epochs", "new", "cocoop:epochs=10", f"{COOP}:epochs=10"),
    ("VPT is above CoOp of as many epochs", "H", "vpt:epochs=10", f"{COOP}:epochs=10"),
    ("APT is above CoOp of as many epochs", "H", "apt:epochs=10", f"{COOP}:epochs=10"),
    ("SPT is above VPT", "H", "spt:epochs=10", "vpt:epochs=10"),
    (
        "prototypes help CoOp with image prompts",
        "H",
        f"{COOP}:image_prompts=20:prototypes=mean:epochs=10",
        f"{COOP}:image_prompts=20:epochs=10",
    ),
    ("VPT loses on new classes", "new", "vpt:epochs=10", "zeroshot"),
    ("SPT loses on new classes", "new", "spt:epochs=10", "zeroshot"),
)


def main() -> None:
    folder = Path(sys.argv[1])
    halves, shifted = (results(folder / suite / "table.json") for suite in ("base-to-new", "shift"))
    arms = [row for name in BASE_TO_NEW.methods if (row := halves.get(name))]
    lines = ["| arm | base | new | H | trained numbers |", "|---|---|---|---|---|"]
    for row in arms:
        told = [spread(row, what) for what in ("base", "new", "H")]
        lines.append(f"| {LABELS[row['method']]} | {' | '.join(told)} | {row['trainable_parameters']:,} |")
    write(folder / "arms.md", lines)
    lines = ["| claim | of | difference, points (95 % interval) | tasks above |", "|---|---|---|---|"]
    for claim, what, one, other in EFFECTS:
        if one in halves and other in halves:
            tasks = [d for d in halves[one]["tasks"] if what == "base" or "also" in halves[other]["tasks"][d]]
            pairs = [(mean_of(halves[one], d, what), mean_of(halves[other], d, what)) for d in tasks]
            lines.append(f"| {claim} | {what} | {difference(pairs)} |")
    write(folder / "effects.md", lines)
    few = {int(path.parent.name[6:]): results(path) for path in folder.glob("shots-*/table.json")} | {16: halves}
    lines = ["| shots | arm | base | new | H | base, minus zero-shot |", "|---|---|---|---|---|---|"]
    for shots, rows in sorted(few.items()):
        for name in (COOP, "linear"):
            told = " | ".join(spread(rows[name], what) for what in ("base", "new", "H"))
            pairs = [
                (mean_of(rows[name], d, "base"), mean_of(halves["zeroshot"], d, "base")) for d in rows[name]["tasks"]
            ]
            lines.append(f"| {shots} | {LABELS[name]} | {told} | {difference(pairs).partition(' | ')[0]} |")
    write(folder / "shots.md", lines)
    plain, *adapted = ["", *(BY + how for how in SHIFT.adapt)]
    lines = ["| start | plain digits | shifted | TPT | mean of its views | TPT minus none | TPT minus views |"]
    lines += ["|---|---|---|---|---|---|---|"]
    for name in SHIFT.methods:
        if row := shifted.get(name):
            found = [[statistics.mean(row["also"][data + how]) for data in SHIFT.also] for how in (plain, *adapted)]
            none, tpt, views = found
            told = [f"{statistics.mean(each):.1f}" for each in found]
            apart = [difference(list(zip(tpt, other))).partition(" | ")[0] for other in (none, views)]
            own = f"{row['test_accuracy_mean']:.1f}"
            lines.append(f"| {LABELS[name]} | {own} | {' | '.join((*told, *apart))} |")
    write(folder / "shift.md", lines)


def results(path: Path) -> dict[str, dict[str, Any]]:
    """The rows of a benchmark's table, by method; none where it was not run."""
    if not path.exists():
        return {}
    return {row["method"]: row for row in json.loads(path.read_text(encoding="utf-8"))["results"]}


def mean_of(row: dict[str, Any], data: str, what: str) -> float:
    """The mean over seeds on one task."""
    task = row["tasks"][data]
    return statistics.mean(task["test_accuracies"] if what == "base" else task["also"][what])


def spread(row: dict[str, Any], what: str) -> str:
    """Mean over tasks, with the deviation over seeds."""
    if what == "base":
        return f"{row['test_accuracy_mean']:.1f} ± {row['test_accuracy_std']:.1f}"
    if what not in row.get("also", {}):
        return ""
    by_seed = row["also"][what]
    return f"{statistics.mean(by_seed):.1f} ± {statistics.stdev(by_seed) if len(by_seed) > 1 else 0:.1f}"


def difference(pairs: list[tuple[float, float]]) -> str:
    """Mean and interval of paired differences, and how many are above 0."""
    apart = [one - other for one, other in pairs]
    low, high = ttest_1samp(apart, 0).confidence_interval()
    above = sum(own > 0 for own in apart)
    return f"{statistics.mean(apart):+.1f} ({low:+.1f} to {high:+.1f}) | {above} of {len(apart)}"


def write(path: Path, lines: list[str]) -> None:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
