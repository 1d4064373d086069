"""How near `tune --estimate` comes to the run, and how well `tune --budget` is kept, each in a process of its own.

    python benchmarks/estimate.py --data mnist5k scenes/location elpv --out benchmarks/results/estimate.json

Seconds are of the whole command, from the start of its process to its end; with ``--processor`` of processor time, by
which a busy machine can be measured, too. Prints a row for each data set.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from selfprompt.reports.table import Column, markdown

COLUMNS: list[Column[dict[str, Any]]] = [
    Column("data", lambda row: row["data"]),
    Column("estimated, s", lambda row: f"{row['estimated']:.0f}"),
    Column("taken, s", lambda row: f"{row['taken']:.0f}"),
    Column("estimated / taken", lambda row: f"{row['ratio']:.2f}"),
    Column("budget, s", lambda row: str(row.get("budget", ""))),
    Column("used, s", lambda row: f"{row['used']:.1f}" if "used" in row else ""),
    Column("epochs chosen", lambda row: str(row.get("epochs", ""))),
]
COMMAND = {
    False: "from selfprompt.cli import main; main()",
    True: "import time; from selfprompt import watch; watch.clock = time.process_time\n"
    "from selfprompt.cli import main; main()",
}


def processor() -> float:
    """Processor seconds of finished children."""
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


def timed(by_processor: bool, *words: object) -> tuple[float, dict[str, Any]]:
    """Seconds of a command, and what it printed."""
    clock = processor if by_processor else time.monotonic
    begun = clock()
    command = [sys.executable, "-c", COMMAND[by_processor], "tune", *map(str, words), "--json"]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=os.environ)
    return clock() - begun, json.loads(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", default=["mnist5k", "scenes/location", "elpv"])
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--train-images", type=int, default=500)
    parser.add_argument("--budget", type=int, help="seconds; none by default")
    parser.add_argument("--processor", action="store_true")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    rows = []
    for data in given.data:
        settings = (data, "--train-images", given.train_images)
        with tempfile.TemporaryDirectory() as folder:
            whole = (*settings, "--epochs", given.epochs)
            spent, price = timed(given.processor, *whole, "--estimate")
            taken, _ = timed(given.processor, *whole, "--out", Path(folder) / "run")
            row = {"data": data, "estimated": price["seconds"], "taken": taken, "estimating": spent}
            row["ratio"] = row["estimated"] / taken
            if given.budget:
                bound = (*settings, "--budget", f"{given.budget}s", "--out", Path(folder) / "budget")
                used, metrics = timed(given.processor, *bound)
                row |= {
                    "budget": given.budget,
                    "used": used,
                    "epochs": metrics["epochs"],
                    "kept": used / given.budget,
                }
        rows.append(row)
        print(", ".join(f"{k} {v:.3g}" if isinstance(v, float) else f"{k} {v}" for k, v in row.items()), flush=True)
    if given.out:
        given.out.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
        given.out.with_suffix(".md").write_text(markdown(COLUMNS, rows), encoding="utf-8")


if __name__ == "__main__":
    main()
