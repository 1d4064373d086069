"""``selfprompt doctor [DATA]``."""

from __future__ import annotations

import os
import platform
from pathlib import Path

from selfprompt.cli.console import emit
from selfprompt.cli.values import Seed
from selfprompt.errors import UserError
from selfprompt.registry import installed, version

EXTRAS = {
    "hf": "datasets",
    "elpv": "elpv_dataset",
    "search": "optuna",
    "cluster": "ray",
    "peft": "peft",
    "export": "onnxscript",
    "track": "tensorboard",
}


def command(
    data: str | None = None,
    *,
    backbone: str | None = None,
    root: Path | None = None,
    seed: Seed = 0,
    json: bool = False,
) -> None:
    """Check this installation, or a data set: what is missing or wrong, and how to fix it.

    Args:
        data: A folder, table or data set to read through, every image or text of it; or a benchmark (mini, vtab1k,
            fgvc, coop11, imagenet-shift), whose lists are read.
        backbone: What the data are for: it says whether they are images or texts, and how long a text may be.
        root: The folder that holds a benchmark's data.
        seed: Has no effect here; every command takes it.
        json: Print one JSON object.
    """
    from selfprompt import doctor
    from selfprompt.comparison.suites import SUITES
    from selfprompt.data.listed import ROOT
    from selfprompt.data.sources import NAME

    if root is not None:
        os.environ[ROOT] = str(root)
    suite = (data or "").removeprefix(NAME)
    if suite in SUITES and data == suite and Path(suite).is_dir():
        raise UserError(f"{data} is a folder here and a benchmark: write ./{data} for the folder, or {NAME}{data}.")
    if suite in SUITES:
        whole = next(iter(SUITES[suite].values()))
        tasks = [task for tasks in whole.groups.values() for task in tasks]
        facts, problems = doctor.check_tasks([*tasks, *whole.also])
    elif data is None:
        facts, problems = installation(), doctor.check_installation()
    else:
        facts, problems = doctor.check_data(data, backbone)
    lines = [f"{key}: {value}" for key, value in facts.items()]
    lines += [f"PROBLEM: {problem}" for problem in problems] or ["nothing is wrong"]
    emit({**facts, "problems": problems}, json, "\n".join(lines))
    if problems:
        raise UserError(f"{len(problems)} problem(s) found, the first: {problems[0]}")


def installation() -> dict[str, str]:
    """Versions, device and extras."""
    import torch

    facts = {"python": platform.python_version()}
    for package in ("selfprompt", "torch", "timm", "accelerate"):
        facts[package] = version(package)
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    facts["device"] = gpu or ("mps" if torch.backends.mps.is_available() else "cpu")
    for extra, package in EXTRAS.items():
        there = installed(package)
        facts[f"extra {extra}"] = "installed" if there else f"not installed: pip install 'selfprompt[{extra}]'"
    return facts
