"""Methods side by side under one protocol, with equal tuning effort, over several seeds.

    python benchmarks/table.py mnist5k --out benchmarks/results/mnist5k
    python benchmarks/table.py elpv --out benchmarks/results/elpv

For every method the learning rate alone is searched, on validation, with seed 0 and the same number of trials: two
a factor of ten apart, then steps of the square root of ten from the better one towards and past it, so that the
search leaves its first range where the optimum lies outside. Everything else is the same for all: AdamW, the
epochs, batch 32, weight decay 0.01. The chosen rate is run with each seed, and only these runs see the test set.
A search that was stopped goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import shutil
import statistics
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import torch

from selfprompt.tuning.run import EMBEDDED, RunConfig, tune

FIRST_RATE = {"linear": 3e-3, "full": 1e-4, "bias": 1e-3, "vpt": 1e-2, "spt": 1e-1}
VARIANTS = {"spt-rms": ("spt", {"prompt_rms": 0.1}), "spt-frozen": ("spt", {"frozen_prompts": True})}
VARIANTS |= {"vpt-frozen": ("vpt", {"frozen_prompts": True}), "spt-kmeans": ("spt", {"prototypes": "kmeans"})}
FIRST_RATE |= {"spt-rms": 1e-2, "spt-frozen": 3e-3, "vpt-frozen": 3e-3, "spt-kmeans": 1e-1}
HALF_DECADE = math.sqrt(10)


def run(args: argparse.Namespace, method: str, rate: float, seed: int, test: bool) -> dict:
    name, fields = VARIANTS.get(method, (method, {}))
    if name in ("vpt", "spt"):
        fields = {"num_prompts": args.num_prompts, **fields}
    config = RunConfig.resolve(
        args.data,
        "builtin",
        name,
        fields={"head_norm": args.head_norm, **fields},
        recipe={**EMBEDDED["recipe"], "lr": rate, "epochs": args.epochs},
        protocol={**EMBEDDED["protocol"], "name": "table"},
        image_size=args.image_size,
        seed=seed,
        probe=False,
        test=test,
    )
    trial = args.out / "runs" / f"{method}-{rate:.2g}-{seed}"
    out = trial.with_name(f"{trial.name}-test") if test else trial
    if test and trial.exists() and not out.exists():
        shutil.copytree(trial, out)  # the trial of this rate and seed is trained already, and only lacks its test
    return tune(config, out, resume=(out / "run.json").exists()).metrics


def measure(args: argparse.Namespace, method: str) -> dict:
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // args.jobs))
    center = FIRST_RATE[method]
    trials = {
        rate: run(args, method, rate, 0, test=False)["val_accuracy"] for rate in (center / 10**0.5, center * 10**0.5)
    }
    while len(trials) < args.trials:
        best = max(trials, key=lambda r: trials[r])
        near = [best * HALF_DECADE, best / HALF_DECADE]
        fresh = [r for r in near if all(abs(math.log(r / t)) > 0.1 for t in trials)]
        if not fresh:  # both neighbours are known: halve the step on the better side
            side = max(near, key=lambda r: next(v for t, v in trials.items() if abs(math.log(r / t)) < 0.1))
            fresh = [math.sqrt(best * side)]
        trials[fresh[0]] = run(args, method, fresh[0], 0, test=False)["val_accuracy"]
    rate = max(trials, key=lambda r: trials[r])
    runs = [run(args, method, rate, seed, test=True) for seed in range(args.seeds)]
    accuracies = [r["test_accuracy"] for r in runs]
    return {
        "method": method,
        "test_accuracy_mean": statistics.mean(accuracies),
        "test_accuracy_std": statistics.stdev(accuracies) if len(accuracies) > 1 else 0.0,
        "test_accuracies": accuracies,
        "seeds": args.seeds,
        "val_accuracy_mean": statistics.mean(r["val_accuracy"] for r in runs),
        "trainable_parameters": runs[0]["trainable_parameters"],
        "seconds": max(r["seconds"] for r in runs),
        "lr": rate,
        "trials": {f"{r:.3g}": v for r, v in sorted(trials.items())},
        "protocol": runs[0]["protocol"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--methods", default="linear,full,vpt,spt")
    parser.add_argument("--trials", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=EMBEDDED["recipe"]["epochs"])
    parser.add_argument("--num-prompts", type=int, default=20)
    parser.add_argument("--head-norm", default="batch")
    parser.add_argument("--image-size", type=int)
    parser.add_argument("--jobs", type=int, default=2, help="methods at a time")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    with ProcessPoolExecutor(args.jobs) as pool:
        pending = [pool.submit(measure, args, method) for method in args.methods.split(",")]
        results = [p.result() for p in pending]

    protocol = results[0]["protocol"]
    settings = {k: str(v) if isinstance(v, Path) else v for k, v in vars(args).items()}
    machine = f"{platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}"
    table = {"protocol": protocol, "dataset": args.data, "settings": settings, "machine": machine, "results": results}
    (args.out / "table.json").write_text(json.dumps(table, indent=2) + "\n")
    lines = ["| method | test accuracy, % | trained parameters | learning rate |", "|---|---|---|---|"]
    lines += [
        f"| {r['method']} | {r['test_accuracy_mean']:.1f} ± {r['test_accuracy_std']:.1f} "
        f"| {r['trainable_parameters']:,} | {r['lr']:.2g} |"
        for r in results
    ]
    (args.out / "table.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
