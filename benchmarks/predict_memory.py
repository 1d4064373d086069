"""Peak memory of predicting, and of embedding, 400 and 4,000 image files, each in a process of its own.

    python benchmarks/predict_memory.py

The files are copies of one random picture of 256 x 256 pixels, so that nothing but what a command holds could grow.
Prints one row for each command, and the difference of its two peaks.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

RUNS = {
    "predict --csv": ["predict", "{adapter}", "{images}", "--csv", "{out}.csv"],
    "predict --json": ["predict", "{adapter}", "{images}", "--json"],
    "embed, Parquet": ["embed", "{adapter}", "{images}", "--out", "{out}.parquet"],
    "embed, npz": ["embed", "{adapter}", "{images}", "--out", "{out}.npz"],
}

CHILD = """
import sys, torch
from selfprompt.cli import main
from selfprompt.memory import peak_memory
torch.set_num_threads(1)
sys.argv = ["selfprompt", *sys.argv[1:]]
try:
    main()
finally:
    print(peak_memory(torch.device("cpu")), file=sys.stderr)
"""


def prepare(folder: Path) -> None:
    """An adapter of the packaged backbone, and folders of images."""
    import numpy as np
    from PIL import Image

    import selfprompt as sp

    model = sp.create_model("builtin", "vpt", num_classes=10, num_prompts=8)
    model.initialize()
    model.save_pretrained(folder / "adapter")
    pixels = np.random.default_rng(0).integers(0, 256, (256, 256, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / "one.png")
    for count in (400, 4000):
        (folder / str(count)).mkdir()
        for index in range(count):
            (folder / str(count) / f"{index:05}.png").write_bytes((folder / "one.png").read_bytes())


def measure(folder: Path, name: str, count: int) -> int:
    words = [
        word.format(adapter=folder / "adapter", images=folder / str(count), out=folder / "out") for word in RUNS[name]
    ]
    command = [sys.executable, "-c", CHILD, *words]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=os.environ)
    return int(done.stderr.splitlines()[-1])


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder)
        print("| command | peak, 400 files | peak, 4,000 files | difference |")
        print("|---|---|---|---|")
        for run in RUNS:
            few, many = (measure(folder, run, count) / 2**20 for count in (400, 4000))
            print(f"| {run} | {few:.0f} MiB | {many:.0f} MiB | {many - few:+.0f} MiB |", flush=True)


if __name__ == "__main__":
    main()
