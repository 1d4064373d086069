"""``selfprompt doctor [DATA]``."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import TYPE_CHECKING

from selfprompt.cli.console import emit
from selfprompt.cli.flags import ColumnFlags, given
from selfprompt.cli.values import Seed
from selfprompt.data.tables import with_columns
from selfprompt.errors import UserError
from selfprompt.registry import installed, version

if TYPE_CHECKING:
    from selfprompt.data.checks.findings import Double, Findings, Item

SHOWN = 20  # findings of a kind; a CSV has all

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
    column_flags: ColumnFlags = None,
    csv: Path | None = None,
    seed: Seed = 0,
    json: bool = False,
) -> None:
    """Check this installation, or a data set: what is missing or wrong, and how to fix it.

    Of data, it also lists what a person should look at: images that are almost the same, and labels that look wrong.
    These are no problems, and the exit status is 0 with them.

    Args:
        data: A folder, table or data set to read through, every image or text of it; or a benchmark (mini, vtab1k,
            fgvc, coop11, imagenet-shift), whose lists are read.
        backbone: What the data are for: it says whether they are images or texts, and how long a text may be, and
            labels are judged by its features. Left out, those of images are by the built-in one's.
        root: The folder that holds a benchmark's data.
        csv: Write everything that is found in the data to this file, too.
        seed: Has no effect here; every command takes it.
        json: Print one JSON object.
    """
    no_list = UserError("--csv lists what is found in DATA: give a folder, a table or a data set.")
    if csv is not None and data is None:
        raise no_list
    data = with_columns(data, given(column_flags))
    from selfprompt import doctor
    from selfprompt.comparison.suites import SUITES
    from selfprompt.data.listed import ROOT
    from selfprompt.data.sources import NAME

    if root is not None:
        os.environ[ROOT] = str(root)
    suite = (data or "").removeprefix(NAME)
    if suite in SUITES and data == suite and Path(suite).is_dir():
        raise UserError(f"{data} is a folder here and a benchmark: write ./{data} for the folder, or {NAME}{data}.")
    if csv is not None and suite in SUITES:
        raise no_list
    found = None
    if suite in SUITES:
        whole = next(iter(SUITES[suite].values()))
        tasks = [task for tasks in whole.groups.values() for task in tasks]
        facts, problems = doctor.check_tasks([*tasks, *whole.also])
    elif data is None:
        facts, problems = installation(), doctor.check_installation()
    else:
        facts, problems, found = doctor.check_data(data, backbone)
    lines = [f"{key}: {value}" for key, value in facts.items()]
    lines += [f"PROBLEM: {problem}" for problem in problems]
    lines += [] if found is None else told(found)
    if not problems and not (found and (found.near or found.suspects)):
        lines.append("nothing is wrong")
    findings = {} if found is None else {"findings": found.model_dump(mode="json")}
    if csv is not None and found is not None:
        write_findings(csv, found)
    emit({**facts, "problems": problems, **findings}, json, "\n".join(lines))
    if problems:
        raise UserError(f"{len(problems)} problem(s) found.")


def told(found: Findings) -> list[str]:
    """What a person should look at, in lines."""
    lines = []
    if found.near:
        lines.append(f"LOOK: {len(found.near):,} image(s) are almost the same as another one (correlation):")
        lines += listed(found.near)
    if found.right is not None:
        lines.append(f"LOOK: {found.summary} (probability):" if found.suspects else found.summary)
        lines += [
            f"  {suspect.given:.3f}  {named(suspect.item)} looks like {suspect.likelier} ({suspect.other:.3f})"
            for suspect in found.suspects[:SHOWN]
        ]
    for many in (found.near, found.suspects):
        if len(many) > SHOWN:
            lines.append(f"the first {SHOWN} are shown: --csv FILE lists all")
            break
    return [*lines, *(f"not looked at: {why}" for why in found.left_out)]


def listed(pairs: list[Double]) -> list[str]:
    """A line for each of the first pairs."""
    return [f"  {pair.similarity:.3f}  {named(pair.one)}  and  {named(pair.other)}" for pair in pairs[:SHOWN]]


def named(item: Item) -> str:
    """An example in a line."""
    return f"{item.split} {item.name} ({item.label})"


def write_findings(path: Path, found: Findings) -> None:
    """All findings as CSV."""
    from selfprompt.data.checks.findings import COLUMNS
    from selfprompt.files import comma_separated, replace_file

    replace_file(path, comma_separated([COLUMNS, *found.rows()]))


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
