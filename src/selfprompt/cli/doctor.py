"""``selfprompt doctor [DATA]``."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import platform

import torch

from selfprompt import doctor
from selfprompt.cli.console import report
from selfprompt.errors import UserError

EXTRAS = {
    "hf": "datasets",
    "elpv": "elpv_dataset",
    "search": "optuna",
    "peft": "peft",
    "export": "onnxscript",
    "track": "tensorboard",
}


def command(data: str | None = None, *, seed: int = 0, json: bool = False) -> None:
    """What is missing or wrong, and what mends it: this installation, or a data set.

    Args:
        data: A folder or data set to read through, every image of it.
        seed: Nothing is drawn here; every command takes it.
        json: Print one JSON object.
    """
    if data is None:
        facts, problems = installation(), doctor.check_installation()
    else:
        facts, problems = doctor.check_data(data)
    lines = [f"{key}: {value}" for key, value in facts.items()]
    lines += [f"PROBLEM: {problem}" for problem in problems] or ["nothing is wrong"]
    report({**facts, "problems": problems}, json, "\n".join(lines))
    if problems:
        raise UserError(f"{len(problems)} problem(s) found, the first: {problems[0]}")


def installation() -> dict[str, str]:
    """Versions, device and extras."""
    facts = {"python": platform.python_version()}
    for package in ("selfprompt", "torch", "timm", "accelerate"):
        facts[package] = importlib.metadata.version(package)
    facts["device"] = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    for extra, package in EXTRAS.items():
        there = importlib.util.find_spec(package) is not None
        facts[f"extra {extra}"] = "there" if there else f"not installed: pip install 'selfprompt[{extra}]'"
    return facts
