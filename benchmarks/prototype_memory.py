"""Peak memory of making prototypes from 400 and from 4,000 images, each in a process of its own.

    python benchmarks/prototype_memory.py

The images are random noise made batch by batch, so that nothing but the prototypes could grow. Prints one row for
each kind of prototypes, and the ratio of the two peaks above the memory that the loaded backbone takes.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys


def peak() -> int:
    import torch

    from selfprompt.memory import peak_memory

    return peak_memory(torch.device("cpu"))


def measure(kind: str, count: int) -> dict[str, float]:
    import torch

    from selfprompt.assembly import create_model

    torch.set_num_threads(1)
    model = create_model("builtin", "spt", num_classes=2, prototypes=kind)
    size = model.backbone.info.image_size
    before = peak()
    generator = torch.Generator().manual_seed(0)
    batches = (torch.randn(40, 3, size, size, generator=generator) for _ in range(count // 40))
    model.initialize(batches)
    return {"before": before, "peak": peak()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--one", nargs=2, metavar=("KIND", "IMAGES"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(measure(args.one[0], int(args.one[1]))))
        return
    print("| prototypes | peak, 400 images | peak, 4,000 images | difference |")
    print("|---|---|---|---|")
    for kind in ("random", "mean", "max", "kmeans"):
        peaks = []
        for count in (400, 4000):
            command = [sys.executable, __file__, "--one", kind, str(count)]
            peaks.append(
                json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout)["peak"]
            )
        few, many = (value / 2**20 for value in peaks)
        print(f"| {kind} | {few:.0f} MiB | {many:.0f} MiB | {many - few:+.0f} MiB |", flush=True)


if __name__ == "__main__":
    main()
