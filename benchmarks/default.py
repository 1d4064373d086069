"""What `selfprompt tune DATA` does without flags, against the linear probe.

    python benchmarks/default.py --out OUT mnist5k digits photos elpv/defect elpv/grade scenes/count \\
        scenes/distance scenes/orientation scenes/location

Each task: 1,000 labelled images (800 and 200), the built-in backbone, five seeds, each with a split of its own where
the data have no test set of theirs. A run trains prompts, keeps them or the probe by validation, and is tested
once. OUT/default.json and OUT/default.md hold, for each task and for the mean over tasks: the test accuracy of the
prompts, of the probe, and of what is kept, and the latter less the probe with Student's 95 % interval over seeds.
Runs that are done are read again.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from scipy.stats import ttest_1samp

from selfprompt.reports.table import Column, markdown
from selfprompt.runs.config import RunConfig
from selfprompt.runs.tune import tune
from selfprompt.tuning.records import Tested, read_metrics


def tested(data: str, seed: int, folder: Path) -> dict[str, Any]:
    """One run's test accuracies, and whether the probe is kept."""
    config = RunConfig.resolve(data, "builtin", seed=seed, protocol={"train_images": 1000, "split_seed": seed})
    tune(config, folder, resume=(folder / "run.json").exists(), analysed=False)
    found = read_metrics(folder, Tested)
    prompts = found["instead_of"]["test_accuracy"] if "instead_of" in found else found["test_accuracy"]
    probe = found["linear_probe_test_accuracy"]
    return {"prompts": prompts, "probe": probe, "kept": found["test_accuracy"], "probe kept": "instead_of" in found}


def row(task: str, runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """A task's means, and by how much what is kept is above the probe."""
    differences = [run["kept"] - run["probe"] for run in runs]
    interval = list(ttest_1samp(differences, 0.0).confidence_interval()) if len(set(differences)) > 1 else None
    means = {name: mean(run[name] for run in runs) for name in ("prompts", "probe", "kept")}
    kept = sum(run["probe kept"] for run in runs)
    return {"task": task, **means, "difference": mean(differences), "interval": interval, "times": kept}


COLUMNS: list[Column[dict[str, Any]]] = [
    Column("task", lambda row: row["task"]),
    *(Column(name, lambda row, name=name: f"{row[name]:.1f}") for name in ("prompts", "probe", "kept")),
    Column("kept - probe", lambda row: f"{row['difference']:+.1f}"),
    Column("95 % interval", lambda row: "{:+.1f} to {:+.1f}".format(*row["interval"]) if row["interval"] else ""),
    Column("probe kept", lambda row: f"{row['times']} of {row['runs']}"),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tasks", nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=5)
    asked = parser.parse_args()
    folder, tasks, seeds, rows, every = asked.out, asked.tasks, asked.seeds, [], []
    for task in tasks:
        name = Path(task).name if Path(task).exists() else task.replace("/", "-")
        runs = [tested(task, seed, folder / "runs" / f"{name}-{seed}") for seed in range(seeds)]
        rows.append(row(Path(task).name if Path(task).exists() else task, runs) | {"runs": seeds})
        every.append(runs)
        print(json.dumps(rows[-1]), flush=True)
    over = [{key: mean(run[key] for run in runs) for key in runs[0]} for runs in zip(*every)]
    whole = row("mean", over) | {"runs": seeds * len(tasks), "times": sum(row["times"] for row in rows)}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "default.json").write_text(json.dumps([*rows, whole], indent=1) + "\n", encoding="utf-8")
    (folder / "default.md").write_text(markdown(COLUMNS, [*rows, whole]), encoding="utf-8")


if __name__ == "__main__":
    main()
