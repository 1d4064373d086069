"""Runs whose prompts the others of a benchmark start from, each made once, as ``selfprompt tune`` makes it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from selfprompt.comparison.suites import Suite
from selfprompt.comparison.workers import Unit, Workers
from selfprompt.methods import read_spec, record_of
from selfprompt.runs.config import RunConfig
from selfprompt.runs.tune import begun, tune


def folders(suite: Suite, out: Path) -> dict[str, str]:
    """Where they are, by name."""
    return {name: str((out / "first" / name).absolute()) for name in suite.first}


def make(
    suite: Suite, methods: Sequence[str], out: Path, backbone: str, fields: dict[str, Any], workers: Workers
) -> None:
    """Make those that methods start from, or go on with what is there of them."""
    there = folders(suite, out)
    wanted = dict.fromkeys(read_spec(spec)[1].get("start") for spec in methods)
    runs = [
        Unit(f"first run {name}", first_run, (*suite.first[name], backbone, fields, Path(there[name])))
        for name in wanted
        if name in suite.first
    ]
    workers.run(runs)


def first_run(spec: str, data: str, backbone: str, fields: dict[str, Any], folder: Path) -> None:
    """One of them, to its last epoch: what it is good for does not show on its own validation texts."""
    known = record_of(read_spec(spec)[0]).factory.model_fields
    common = {key: value for key, value in fields.items() if key in known}
    config = RunConfig.resolve(data, backbone, spec, fields=common, protocol={"selection": "last"}, probe=False)
    tune(config, folder, resume=begun(folder), analysed=False)
