"""Whether probabilities are what they say: calibration error before and after the temperature, and the precision
that thresholds were asked for and give on the test images.

    python benchmarks/calibration.py runs/calibration mnist5k elpv drawings/letters

VPT with ten prompts on the built-in backbone under the settings of the mini benchmark (1,000 labelled images, 800 to
train on and 200 for validation), but for ten epochs; three seeds. A run that is done is read again.
"""

from __future__ import annotations

import sys
from pathlib import Path
from statistics import mean

from selfprompt.adapters.format import read_adapter
from selfprompt.comparison.bench import task_of
from selfprompt.comparison.suites import MINI
from selfprompt.runs.outcome import surest
from selfprompt.runs.tune import tune
from selfprompt.tuning.answers import read_answers
from selfprompt.tuning.records import Tested, read_metrics

PRECISIONS = (0.9, 0.95, 0.99)
SEEDS = 3


def kept(folder: Path, precision: float) -> str:
    """Precision and coverage on the test images of a run's threshold."""
    calibration, tested = read_adapter(folder)[0].calibration, read_answers(folder)["test"]
    found = calibration and calibration.at(precision)
    if not calibration or not found:
        return "none"
    above = surest(tested, calibration.temperature) >= found.threshold
    return f"{100 * tested.right[above].mean():.1f} of {100 * above.mean():.0f}"


def main() -> None:
    out, *names = sys.argv[1:]
    asked = [f"{100 * precision:g} %: precision of share kept" for precision in PRECISIONS]
    print("| " + " | ".join(["data", "accuracy", "temperature", "ECE before", "after", *asked]) + " |")
    print("|---" * (5 + len(asked)) + "|")
    for name in names:
        folders = [Path(out) / f"{name}-{seed}" for seed in range(SEEDS)]
        for seed, folder in enumerate(folders):
            base = task_of(MINI, name).run("vpt:num_prompts=10")
            recipe = base.recipe.model_copy(update={"epochs": 10})
            config = base.model_copy(update={"seed": seed, "recipe": recipe})
            tune(config, folder, resume=(folder / "run.json").exists(), analysed=False)
        found = [read_metrics(folder, Tested) for folder in folders]
        cells = [f"{mean(m['test_accuracy'] for m in found):.1f}"]
        cells.append(", ".join(f"{m.get('temperature', 1):.2f}" for m in found))
        scored = [m["scores"] for m in found if "scores" in m]
        cells += [
            f"{mean(s.get('ece_before', s['ece']) for s in scored):.1f}",
            f"{mean(s['ece'] for s in scored):.1f}",
        ]
        cells += ["; ".join(kept(folder, precision) for folder in folders) for precision in PRECISIONS]
        print("| " + " | ".join([name, *cells]) + " |", flush=True)


if __name__ == "__main__":
    main()
