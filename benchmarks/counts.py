"""What a step computes and holds, counted: floating-point operations, and bytes of the tensors that it touches.

    python benchmarks/counts.py --out benchmarks/results/counts.json

The counts are the same on every machine. Operations are those of matrix products, convolutions and attention, as
torch's own counter has them. A tensor's storage counts from when a step makes or first reads it to when it is freed.
Products are not carried out (zeros of their shape and type stand in), so that bf16 needs no hardware for it. Not
counted is what kernels use inside and what an allocator keeps; `speed.py` measures resident memory, and time.
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
from torch.utils.flop_counter import FlopCounterMode
from torch.utils.weak import WeakIdKeyDictionary

import speed

CASES = (
    "reference, 20 prompts",
    "vpt, 20 prompts",
    "reference, 100 prompts",
    "vpt, 100 prompts",
    "vpt, 20 prompts, checkpointing",
    "full",
    "frozen forward",
)
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
    """Bytes before the second step of a case and at its peak, and operations of the third."""
    step = speed.cases(args)[name]()
    with Touched() as touched:
        step()  # makes the optimiser's state
        touched.peak = held = touched.now
        step()
        peak = touched.peak
        with FlopCounterMode(display=False) as operations:  # keeps tensors of its own
            step()
    speed.OPEN.close()
    return {"case": name, "batch": args.batch, "flop": operations.get_total_flops(), "held": held, "peak": peak}


def render(found: dict[str, Any]) -> str:
    """A Markdown table, operations also against the frozen forward pass, peaks against full fine-tuning's."""
    rows = {(row["case"], row["batch"]): row for row in found["results"]}
    lines = [
        "| case | batch | GFLOP per image | against the frozen forward | between steps, MiB | at the peak, MiB "
        "| against full |",
        "|---|---|---|---|---|---|---|",
    ]
    for (case, batch), row in rows.items():
        precision = case.rpartition(", ")[2]
        floor, full = rows[f"frozen forward, {precision}", batch], rows[f"full, {precision}", batch]
        lines.append(
            f"| {case} | {batch} | {row['flop'] / batch / 1e9:.1f} | {row['flop'] / floor['flop']:.2f} "
            f"| {row['held'] / 2**20:,.0f} | {row['peak'] / 2**20:,.0f} | {row['peak'] / full['peak']:.2f} |"
        )
    about = f"{found['model']}, {found['size']} pixels, torch {found['torch']}"
    return "\n".join([*lines, "", *in_words(found), about])


def in_words(found: dict[str, Any]) -> list[str]:
    """What the counts bound, and how much less a step holds than full fine-tuning, in sentences."""
    rows = {(row["case"], row["batch"]): row for row in found["results"]}
    least, most = min(batch for _, batch in rows), max(batch for _, batch in rows)

    def ratio(case: str, other: str, precision: str = "float32", what: str = "flop", batch: int = least) -> str:
        return f"{rows[f'{case}, {precision}', batch][what] / rows[f'{other}, {precision}', batch][what]:.2f}"

    step = "vpt, 20 prompts"
    held = [
        f"{ratio(step, 'full', precision, 'peak', batch)} ({precision}, batch {batch})"
        for batch in (least, most)
        for precision in ("float32", "bf16")
    ]
    few, many = ratio("reference, 20 prompts", step), ratio("reference, 100 prompts", "vpt, 100 prompts")
    forward, full = ratio(step, "frozen forward"), ratio(step, "full")
    return [
        f"The reference computes {few} times what our step does at 20 prompts and {many} at 100. At 20 prompts a "
        f"step computes {forward} times what the frozen forward pass does and {full} times what full fine-tuning "
        f"does, of whose peak memory it holds {', '.join(held)}.\n"
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="vit_base_patch16_224")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--batch", type=int, nargs="+", default=[8, 64])
    parser.add_argument("--precisions", default="float32,bf16")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    args.suite, args.compile, args.batches = "steps", False, 1
    rows, sizes = [], args.batch
    for size in sizes:
        args.batch = size
        for precision in args.precisions.split(","):
            rows += [measure(args, f"{case}, {precision}") for case in CASES]
    found = {"model": args.model, "size": args.size, "torch": torch.__version__, "results": rows}
    print(render(found))
    if args.out:
        args.out.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
