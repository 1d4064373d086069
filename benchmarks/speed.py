"""How long a step takes and what it holds in memory, against a plain reference, full fine-tuning and the floor.

    python benchmarks/speed.py --out benchmarks/results/speed-cpu.json
    python benchmarks/speed.py --render benchmarks/results/speed-cpu.json

ViT-B/16 at 224 pixels with random weights. All cases live in one process and are measured in turn, round after
round, so that a machine's moods fall on all of them alike; a case's time is its median over the rounds. Peak memory
is measured in a process of its own for each case: what a step adds to the process that has just built the model.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import psutil
import timm
import torch
import torch.nn.functional as F
from torch import Tensor

import selfprompt as sp
from reference import ConcatenateAndReplace
from selfprompt.backbones.base import BackboneInfo
from selfprompt.backbones.vit import ViT
from selfprompt.tuning.engine import Engine
from selfprompt.tuning.optimization import make_optimizer

CLASSES = 100
KINDS = ("random", "mean", "max", "kmeans")
Step = Callable[[], object]
OPEN = ExitStack()
"""Keeps frozen weights in the compute precision for as long as steps are measured."""


def backbone(args: argparse.Namespace) -> torch.nn.Module:
    torch.manual_seed(0)
    return timm.create_model(args.model, pretrained=False, num_classes=0)


def batch(args: argparse.Namespace, device: torch.device) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(args.batch, 3, args.size, args.size, generator=generator)
    return images.to(device), torch.randint(CLASSES, (args.batch,), generator=generator).to(device)


def ours(
    args: argparse.Namespace,
    method: str,
    precision: str,
    train: bool = True,
    compiled: bool = False,
    checkpointing: bool = False,
    **fields: object,
) -> Step:
    """A step as `selfprompt.fit` makes it, or with ``train=False`` a frozen model's answers."""
    engine = Engine(precision)
    info = BackboneInfo(args.model, args.model, "supervised", args.size)
    model = sp.create_model(ViT(backbone(args), info), method, num_classes=CLASSES, **fields)
    model.initialize([torch.randn(2, 3, args.size, args.size)] if model.initialization else ())
    engine.place(model)
    OPEN.enter_context(engine.computing(model))
    images, labels = batch(args, engine.device)
    if not train:
        model.eval()
        model.insertion.fold(model.backbone)
        network = engine.prepare(model)
        network = torch.compile(network, fullgraph=True) if compiled else network

        def infer() -> object:
            with torch.no_grad():
                return network(images)

        return infer
    optimizer = make_optimizer(model, sp.Recipe(precision=precision))  # type: ignore[arg-type]
    model.checkpointing = checkpointing
    network = engine.prepare(model).train()
    network = torch.compile(network, fullgraph=True) if compiled else network

    def step() -> None:
        engine.backward(F.cross_entropy(network(images).float(), labels))
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def official(args: argparse.Namespace, precision: str, num_prompts: int) -> Step:
    """A step of the published form, in timm's default attention, under autocast where it is bf16."""
    device = Engine(precision).device
    model = ConcatenateAndReplace(backbone(args), num_prompts, CLASSES).to(device).train()
    model.vit.eval()
    images, labels = batch(args, device)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad])

    def step() -> None:
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
            logits = model(images)
        F.cross_entropy(logits.float(), labels).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def prototypes(args: argparse.Namespace, kind: str) -> Step:
    """Starting prompts from as many batches as a suite asks for."""
    info = BackboneInfo(args.model, args.model, "supervised", args.size)
    model = sp.create_model(ViT(backbone(args), info), "spt", num_classes=CLASSES, prototypes=kind)
    engine = Engine("float32")
    engine.place(model)
    images, _ = batch(args, engine.device)
    return lambda: model.initialize([images] * args.batches)


def frozen(args: argparse.Namespace) -> Step:
    """The frozen forward pass over as many batches."""
    one = ours(args, "linear", "float32", train=False)
    return lambda: [one() for _ in range(args.batches)]


def pool(args: argparse.Namespace, tasks: int) -> Step:
    """One batch through a pool of 64 adapters, its samples of so many tasks."""
    info = BackboneInfo(args.model, args.model, "supervised", args.size)
    served = sp.AdapterPool(ViT(backbone(args), info)).to(Engine("float32").device)
    for number in range(64):
        model = sp.create_model(served.backbone, "vpt", num_classes=CLASSES, num_prompts=20)
        model.initialize(seed=number)
        served.add(str(number), model)
    images, _ = batch(args, next(served.parameters()).device)
    names = [str(number % tasks) for number in range(args.batch)]
    return lambda: served(images, names)


def cases(args: argparse.Namespace) -> dict[str, Callable[[], Step]]:
    """Every case by name, not yet built."""
    found: dict[str, Callable[[], Step]] = {}
    floor = {"frozen forward, float32": lambda: frozen(args)}
    if args.suite == "pool":
        return {f"pool, {n} task(s), float32": lambda n=n: pool(args, n) for n in (1, 64)} | floor
    if args.suite == "prototypes":
        return {f"prototypes, {k}, float32": lambda k=k: prototypes(args, k) for k in KINDS} | floor
    for precision in args.precisions.split(","):
        for count in (20, 100):
            found[f"reference, {count} prompts, {precision}"] = lambda p=precision, c=count: official(args, p, c)
            found[f"vpt, {count} prompts, {precision}"] = lambda p=precision, c=count: ours(
                args, "vpt", p, num_prompts=c
            )
        found[f"vpt, 20 prompts, checkpointing, {precision}"] = lambda p=precision: ours(
            args, "vpt", p, checkpointing=True, num_prompts=20
        )
        if args.compile:
            found[f"vpt, 20 prompts, compiled, {precision}"] = lambda p=precision: ours(
                args, "vpt", p, compiled=True, num_prompts=20
            )
            found[f"frozen forward, compiled, {precision}"] = lambda p=precision: ours(
                args, "linear", p, train=False, compiled=True
            )
        found[f"full, {precision}"] = lambda p=precision: ours(args, "full", p)
        found[f"frozen forward, {precision}"] = lambda p=precision: ours(args, "linear", p, train=False)
        for count in (20, 100):
            found[f"inference, {count} prompts, {precision}"] = lambda p=precision, c=count: ours(
                args, "vpt", p, train=False, num_prompts=c
            )
    return found


def synchronize() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def measure(args: argparse.Namespace) -> dict[str, list[float]]:
    """Milliseconds per image of every case in every round."""
    built = {name: make() for name, make in cases(args).items()}
    times: dict[str, list[float]] = {name: [] for name in built}
    for number in range(args.rounds + 1):  # the first round warms up
        for name, step in built.items():
            synchronize()
            begun = time.perf_counter()
            step()
            synchronize()
            if number:
                times[name].append(1000 * (time.perf_counter() - begun) / (args.batch * args.batches))
        print(f"round {number} of {args.rounds}", file=sys.stderr, flush=True)
    return times


def memory_of(args: argparse.Namespace, name: str) -> int:
    """Bytes that two steps of a case add to the process that has built it."""
    step = cases(args)[name]()
    if torch.cuda.is_available():
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        step(), step()
        return torch.cuda.max_memory_allocated() - before
    process, seen, done = psutil.Process(), [], threading.Event()
    before = process.memory_info().rss

    def watch() -> None:
        while not done.wait(0.001):
            seen.append(process.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    step(), step()
    done.set()
    watcher.join()
    return max(seen) - before


def run(args: argparse.Namespace) -> dict:
    times = measure(args)
    rows = []
    for name, found in times.items():
        command = [sys.executable, __file__, "--memory", name, "--model", args.model, "--size", str(args.size)]
        command += ["--batch", str(args.batch), "--precisions", args.precisions, "--suite", args.suite]
        command += ["--batches", str(args.batches), *(["--compile"] if args.compile else [])]
        memory = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        quarter = statistics.quantiles(found, n=4) if len(found) > 1 else [found[0]] * 3
        spread = [quarter[0], quarter[2]]
        rows.append({"case": name, "ms_per_image": statistics.median(found), "quartiles": spread, "memory": memory})
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    cpu = f"{platform.machine()} with {torch.backends.cpu.get_cpu_capability()}"
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else cpu
    return {
        "model": args.model,
        "batch": args.batch,
        "batches": args.batches,
        "rounds": args.rounds,
        "device": device,
        "threads": torch.get_num_threads(),
        "cores": os.cpu_count(),
        "versions": {"torch": torch.__version__, "timm": timm.__version__, "selfprompt": sp.__version__},
        "commit": commit,
        "results": rows,
    }


def render(found: dict) -> str:
    """A Markdown table, each time also as a ratio to the frozen forward pass of its precision."""
    rows = {row["case"]: row for row in found["results"]}
    lines = [
        "| case | ms per image | quartiles | against the frozen forward | added memory, MiB |",
        "|---|---|---|---|---|",
    ]
    for name, row in rows.items():
        precision = name.rpartition(", ")[2]
        how = "compiled, " if ", compiled" in name else ""
        floor = rows[f"frozen forward, {how}{precision}"]["ms_per_image"]
        low, high = row["quartiles"]
        lines.append(
            f"| {name} | {row['ms_per_image']:.1f} | {low:.1f} to {high:.1f} | {row['ms_per_image'] / floor:.2f} "
            f"| {row['memory'] / 2**20:,.0f} |"
        )
    batches = "batch" if found["batches"] == 1 else f"{found['batches']} batches of"
    about = f"{found['model']}, {batches} {found['batch']}, {found['rounds']} rounds, {found['device']}, "
    about += f"{found['threads']} threads, torch {found['versions']['torch']}, commit {found['commit']}"
    return "\n".join([*lines, "", *in_words(found), about])


def in_words(found: dict) -> list[str]:
    """The comparisons that a suite is made for, in sentences."""
    rows = {row["case"]: row for row in found["results"]}

    def ratio(case: str, other: str, what: str = "ms_per_image") -> str:
        return f"{rows[case][what] / rows[other][what]:.2f}"

    said = []
    for precision in ("float32", "bf16"):
        step, full, floor = (f"{case}, {precision}" for case in ("vpt, 20 prompts", "full", "frozen forward"))
        if step in rows:
            others = [f"reference, {count} prompts, {precision}" for count in (20, 100)]
            answers = [f"inference, {count} prompts, {precision}" for count in (20, 100)]
            many = step.replace("20", "100")
            said.append(
                f"In {precision}, the reference takes {ratio(others[0], step)} times our step at 20 prompts and "
                f"{ratio(others[1], many)} at 100. At 20 prompts a step takes {ratio(step, floor)} times the frozen "
                f"forward pass and {ratio(step, full)} times full fine-tuning's, and adds "
                f"{ratio(step, full, 'memory')} times its memory. Inference takes {ratio(answers[0], floor)} "
                f"(20 prompts) and {ratio(answers[1], floor)} (100) times the backbone without prompts.\n"
            )
        if step in rows and precision == "bf16" and (published := "reference, 20 prompts, float32") in rows:
            said.append(
                f"The reference in float32 takes {ratio(published, step)} times our step in bf16 at 20 prompts and "
                f"{ratio(published.replace('20', '100'), step.replace('20', '100'))} at 100.\n"
            )
    one, many, floor = "pool, 1 task(s), float32", "pool, 64 task(s), float32", "frozen forward, float32"
    if many in rows:
        said.append(f"Samples of 64 tasks go through at {ratio(one, many)} times the throughput of one task's.\n")
    if kinds := [f"{ratio(case, floor)} ({case.split(', ')[1]})" for case in rows if case.startswith("prototypes")]:
        said.append(f"Prototypes take {', '.join(kinds)} times the frozen forward pass over the same images.\n")
    return said


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="vit_base_patch16_224")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--batches", type=int, default=1, help="of a training set to take prototypes from")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--suite", choices=["steps", "pool", "prototypes"], default="steps")
    parser.add_argument("--precisions", default="float32,bf16")
    parser.add_argument("--compile", action="store_true", help="also measure compiled steps")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--render", type=Path)
    parser.add_argument("--memory")
    args = parser.parse_args()
    if args.memory:
        with OPEN:
            print(memory_of(args, args.memory))
    elif args.render:
        print(render(json.loads(args.render.read_text())))
    else:
        with OPEN:
            found = run(args)
        print(render(found))
        if args.out:
            args.out.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
