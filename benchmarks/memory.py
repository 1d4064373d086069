"""What a training step holds in memory: bytes of the tensors that it touches, at its peak, counted.

    python benchmarks/memory.py --out benchmarks/results/memory.json

The count is the same on every machine: a tensor's storage counts from when a step makes or first reads it to when it
is freed. Matrix products are left out (zeros of their shape and type stand in), so that bf16 needs no hardware for
it. Not counted is what kernels use inside and what an allocator keeps; `speed.py` measures resident memory.
"""

from __future__ import annotations

import argparse
import json
import weakref
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakIdKeyDictionary

import speed

CASES = ("reference, 20 prompts", "vpt, 20 prompts", "vpt, 20 prompts, checkpointing", "full")
aten = torch.ops.aten


class Touched(TorchDispatchMode):
    """Counts the bytes of all tensors that operations read or make, and skips matrix products.

    Attributes:
        now, peak: Bytes alive, and the most of them so far.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._seen = WeakIdKeyDictionary()

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        self._count(args, kwargs)
        if func in (aten.mm.default, aten.bmm.default):
            left, right = args
            out = left.new_zeros(*left.shape[:-1], right.shape[-1])
        elif func is aten.addmm.default:
            _, left, right = args
            out = left.new_zeros(len(left), right.shape[1])
        else:
            out = func(*args, **(kwargs or {}))
        self._count(out)
        return out

    def _count(self, *values: Any) -> None:
        for value in tree_leaves(values):
            if isinstance(value, Tensor) and (storage := value.untyped_storage()) not in self._seen:
                self._seen[storage] = weakref.finalize(storage, self._free, storage.nbytes())
                self.now += storage.nbytes()
        self.peak = max(self.peak, self.now)

    def _free(self, size: int) -> None:
        self.now -= size


def measure(args: argparse.Namespace, name: str) -> dict[str, Any]:
    """Bytes before, and at the peak of, the second step of a case."""
    step = speed.cases(args)[name]()
    with Touched() as touched:
        step()  # makes the optimiser's state
        touched.peak = held = touched.now
        step()
    speed.OPEN.close()
    return {"case": name, "batch": args.batch, "held": held, "peak": touched.peak}


def render(found: dict[str, Any]) -> str:
    """A Markdown table, each peak also as a share of full fine-tuning's."""
    peaks = {(row["case"], row["batch"]): row["peak"] for row in found["results"]}
    lines = ["| case | batch | between steps, MiB | at the peak, MiB | against full |", "|---|---|---|---|---|"]
    for row in found["results"]:
        full = peaks["full, " + row["case"].rpartition(", ")[2], row["batch"]]
        lines.append(
            f"| {row['case']} | {row['batch']} | {row['held'] / 2**20:,.0f} | {row['peak'] / 2**20:,.0f} "
            f"| {row['peak'] / full:.2f} |"
        )
    return "\n".join([*lines, "", f"{found['model']}, {found['size']} pixels, torch {found['torch']}"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="vit_base_patch16_224")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--batch", type=int, nargs="+", default=[8, 64])
    parser.add_argument("--precisions", default="float32,bf16")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    args.suite, args.compile = "steps", False
    rows, sizes = [], args.batch
    for size in sizes:
        args.batch = size
        for precision in args.precisions.split(","):
            rows += [measure(args, f"{case}, {precision}") for case in CASES]
    found = {"model": args.model, "size": args.size, "torch": torch.__version__, "results": rows}
    print(render(found))
    if args.out:
        args.out.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
