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
from functools import partial
from pathlib import Path

import psutil
import timm
import torch
import torch.nn.functional as F
from torch import Tensor

import selfprompt as sp
from reference import ConcatenateAndReplace
from selfprompt.backbones.info import BackboneInfo
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
    precision: str,
    method: str,
    train: bool = True,
    compiled: bool = False,
    checkpointing: bool = False,
    own_loop: bool = False,
    **fields: object,
) -> Step:
    """A step as `selfprompt.fit` makes it, or with ``train=False`` a frozen model's answers.

    With ``own_loop`` it is what anybody would write: the model under autocast, its weights as they are.
    """
    engine = Engine(precision)
    info = BackboneInfo(args.model, args.model, "supervised", args.size)
    model = sp.create_model(ViT(backbone(args), info), method, num_classes=CLASSES, **fields)
    model.initialize([torch.randn(2, 3, args.size, args.size)])
    engine.place(model)
    if not own_loop:
        OPEN.enter_context(engine.computing(model))
    images, labels = batch(args, engine.device)
    if not train:
        model.eval()
        OPEN.enter_context(model.insertion.folded(model.backbone))
        network = engine.prepare(model)
        network = torch.compile(network, fullgraph=True) if compiled else network

        def infer() -> object:
            with torch.no_grad():
                return network(images)

        return infer
    optimizer = make_optimizer(model, sp.Recipe(precision=precision))  # type: ignore[arg-type]
    model.tower.checkpointing = checkpointing
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


def prototypes(args: argparse.Namespace, precision: str, kind: str) -> Step:
    """Starting prompts from as many batches as a suite asks for."""
    info = BackboneInfo(args.model, args.model, "supervised", args.size)
    model = sp.create_model(ViT(backbone(args), info), "spt", num_classes=CLASSES, prototypes=kind)
    engine = Engine(precision)
    engine.place(model)
    OPEN.enter_context(engine.computing(model))
    images, _ = batch(args, engine.device)

    def start() -> None:
        with engine.autocast():
            model.initialize([images] * args.batches)

    return start


def frozen(args: argparse.Namespace, precision: str) -> Step:
    """The frozen forward pass over as many batches."""
    one = ours(args, precision, "linear", train=False)
    return lambda: [one() for _ in range(args.batches)]


def pool(args: argparse.Namespace, precision: str, tasks: int) -> Step:
    """One batch through a pool of 64 adapters, its samples of so many tasks."""
    info = BackboneInfo(args.model, args.model, "supervised", args.size)
    engine = Engine(precision)
    served = sp.AdapterPool(ViT(backbone(args), info).cast(engine.dtype)).to(engine.device)
    for number in range(64):
        model = sp.create_model(served.backbone, "vpt", num_classes=CLASSES, num_prompts=20)
        model.initialize(seed=number)
        served.add(str(number), model)
    images, _ = batch(args, engine.device)
    names = [str(number % tasks) for number in range(args.batch)]

    def serve() -> object:
        with engine.autocast():
            return served(images, names)

    return serve


def cases(args: argparse.Namespace) -> dict[str, Callable[[], Step]]:
    """Every case by name, not yet built."""
    found: dict[str, Callable[[], Step]] = {}
    for precision in args.precisions.split(","):
        if args.suite == "pool":
            made = {f"pool, {n} task(s)": partial(pool, tasks=n) for n in (1, 64)} | {"frozen forward": frozen}
        elif args.suite == "prototypes":
            made = {f"prototypes, {kind}": partial(prototypes, kind=kind) for kind in KINDS}
            made["frozen forward"] = frozen
        else:
            made = steps(compiled=args.compile)
        found |= {f"{name}, {precision}": partial(make, args, precision) for name, make in made.items()}
    return found


def steps(compiled: bool) -> dict[str, Callable[..., Step]]:
    """The cases of the first suite: training steps, and inference."""
    frozen_forward = partial(ours, method="linear", train=False)
    made: dict[str, Callable[..., Step]] = {}
    for count in (20, 100):
        vpt = partial(ours, method="vpt", num_prompts=count)
        made[f"reference, {count} prompts"] = partial(official, num_prompts=count)
        made[f"vpt, {count} prompts"] = vpt
        made[f"vpt, {count} prompts, own loop"] = partial(vpt, own_loop=True)
        if compiled:
            made[f"vpt, {count} prompts, compiled"] = partial(vpt, compiled=True)
        made[f"inference, {count} prompts"] = partial(vpt, train=False)
    made["vpt, 20 prompts, checkpointing"] = partial(ours, method="vpt", num_prompts=20, checkpointing=True)
    made["full"] = partial(ours, method="full")
    made["frozen forward"] = frozen_forward
    if compiled:
        made["frozen forward, compiled"] = partial(frozen_forward, compiled=True)
    return made


def synchronize() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def measure(args: argparse.Namespace) -> dict[str, list[float]]:
    """Milliseconds per image of every case in every round; the first round warms up, and compiles."""
    built = {name: make() for name, make in cases(args).items()}
    times: dict[str, list[float]] = {name: [] for name in built}
    for number in range(args.rounds + 1):
        for name, step in built.items():
            synchronize()
            begun = time.perf_counter()
            step()
            synchronize()
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
        first, *found = found
        quarter = statistics.quantiles(found, n=4) if len(found) > 1 else [found[0]] * 3
        spread = [quarter[0], quarter[2]]
        row = {"case": name, "ms_per_image": statistics.median(found), "quartiles": spread, "memory": memory}
        rows.append(row | {"first_ms_per_image": first})
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
    for precision, where in (("float32", ""), ("bf16", "In bf16: ")):
        floor = f"frozen forward, {precision}"
        few, many = (f"vpt, {count} prompts, {precision}" for count in (20, 100))
        if few in rows:
            full, others = f"full, {precision}", [case.replace("vpt", "reference") for case in (few, many)]
            answers = [case.replace("vpt", "inference") for case in (few, many)]
            said.append(
                f"In {precision}, the reference takes {ratio(others[0], few)} times our step at 20 prompts and "
                f"{ratio(others[1], many)} at 100. At 20 prompts a step takes {ratio(few, floor)} times the frozen "
                f"forward pass and {ratio(few, full)} times full fine-tuning's, and adds "
                f"{ratio(few, full, 'memory')} times its memory. Inference takes {ratio(answers[0], floor)} "
                f"(20 prompts) and {ratio(answers[1], floor)} (100) times the backbone without prompts.\n"
            )
            for case in (few, many):
                if (own := f"{case.removesuffix(f', {precision}')}, own loop, {precision}") in rows:
                    said.append(f"A loop of one's own takes {ratio(own, case)} times our step ({case}).\n")
                said += earned_back(rows, case, precision, found["batch"])
        if few in rows and precision == "bf16" and (published := "reference, 20 prompts, float32") in rows:
            said.append(
                f"The reference in float32 takes {ratio(published, few)} times our step in bf16 at 20 prompts and "
                f"{ratio(published.replace('20', '100'), many)} at 100.\n"
            )
        one, all_of_them = (f"pool, {tasks} task(s), {precision}" for tasks in (1, 64))
        if one in rows:
            times = ratio(one, all_of_them)
            said.append(f"{where}Samples of 64 tasks go through at {times} times the throughput of one task's.\n")
        starts = [case for case in rows if case.startswith("prototypes") and case.endswith(precision)]
        if starts:
            times = ", ".join(f"{ratio(case, floor)} ({case.split(', ')[1]})" for case in starts)
            said.append(f"{where}Prototypes take {times} times the frozen forward pass over the same images.\n")
    return said


def earned_back(rows: dict[str, dict], case: str, precision: str, batch: int) -> list[str]:
    """After how many steps a compiled case has saved the time that compiling it took, in a sentence."""
    compiled = rows.get(f"{case.removesuffix(f', {precision}')}, compiled, {precision}")
    if compiled is None or "first_ms_per_image" not in compiled:
        return []
    plain = rows[case]
    cost = (compiled["first_ms_per_image"] - plain["first_ms_per_image"]) * batch
    saved = (plain["ms_per_image"] - compiled["ms_per_image"]) * batch
    after = f"earned back after {cost / saved:,.0f} steps" if saved > 0 else "never earned back"
    return [
        f"Compiled, {case} takes {compiled['ms_per_image'] / plain['ms_per_image']:.2f} times as long a step; the "
        f"{cost / 1000:.0f} s of compiling are {after}.\n"
    ]


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
        print(render(json.loads(args.render.read_text(encoding="utf-8"))))
    else:
        with OPEN:
            found = run(args)
        print(render(found))
        if args.out:
            args.out.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
