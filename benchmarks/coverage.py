"""Which of timm's pretrained models are taken as backbones, counted by class.

    python benchmarks/coverage.py --out benchmarks/results/coverage

Every architecture is built on the meta device, which holds no numbers, and goes through what `load_backbone` looks at
before it downloads anything. The names of one architecture differ in their weights and share its answer.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import timm
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from selfprompt.backbones import timm_hub
from selfprompt.errors import UserError

FILLING = {"normal_", "uniform_", "zero_", "fill_", "mul_", "div_", "add_", "sub_", "clamp_", "erfinv_", "copy_"}


class WithoutNumbers(TorchFunctionMode):
    """Skips what only fills a tensor, as there is nothing to fill."""

    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = kwargs or {}
        first = args[0] if args else kwargs.get("tensor")
        if getattr(func, "__name__", "") in FILLING and isinstance(first, Tensor) and first.is_meta:
            return first
        return func(*args, **kwargs)


def look_at(name: str) -> tuple[str, str | None]:
    """A model's class, and why it is refused; None where it is taken."""
    with torch.device("meta"):
        model = timm_hub.create(name, pretrained=False)
    try:
        with torch.device("meta"):
            timm_hub.wrap_module(model, name)
    except UserError as error:
        return type(model).__name__, reason(str(error))
    return type(model).__name__, None


def reason(error: str) -> str:
    """What an error says is lacking."""
    return error.partition("which lacks ")[2].partition(":")[0] or error.partition(" ")[2].partition(":")[0]


def look_at_all() -> dict[str, Any]:
    """Numbers of names by class, and why names are refused."""
    names: dict[str, list[str]] = defaultdict(list)
    for name in timm.list_models(pretrained=True):
        names[name.partition(".")[0]].append(name)
    accepted: Counter[str] = Counter()
    refused: dict[str, Counter[str]] = defaultdict(Counter)
    with WithoutNumbers():
        for of_one in names.values():
            kind, why = look_at(of_one[0])
            if why is None:
                accepted[kind] += len(of_one)
            else:
                refused[kind][why] += len(of_one)
    listed = set(timm_hub.list_names())
    classes = sorted({*accepted, *refused}, key=lambda kind: (-accepted[kind], -refused[kind].total(), kind))
    return {
        "timm": timm.__version__,
        "names": sum(map(len, names.values())),
        "architectures": len(names),
        "accepted": accepted.total(),
        "listed": len(listed),
        "classes": {
            kind: {"accepted": accepted[kind], "refused": dict(refused[kind].most_common())} for kind in classes
        },
    }


def table(found: dict[str, Any]) -> str:
    """The counts in Markdown; classes of which none is taken share a row for each reason that is not their class."""
    lines = [
        f"timm {found['timm']}: {found['accepted']:,} of {found['names']:,} pretrained names are taken.",
        "",
        "| class | taken | refused | which lack |",
        "|---|---|---|---|",
    ]
    others = {kind: row for kind, row in found["classes"].items() if not row["accepted"]}
    for kind, row in found["classes"].items():
        if kind not in others:
            lines.append(
                f"| {kind} | {row['accepted']} | {sum(row['refused'].values())} | {', '.join(row['refused'])} |"
            )
    refused = {kind: sum(row["refused"].values()) for kind, row in others.items()}
    most = ", ".join(f"{kind} {count}" for kind, count in list(refused.items())[:12])
    lines.append(f"| {len(others)} others ({most}, ...) | 0 | {sum(refused.values())} | a class that is known here |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="folder for coverage.md and coverage.json")
    out = parser.parse_args().out
    found = look_at_all()
    print(table(found), end="")
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        (out / "coverage.md").write_text(table(found), encoding="utf-8")
        (out / "coverage.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
