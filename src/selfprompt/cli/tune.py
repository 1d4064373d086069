"""``selfprompt tune [DATA]``."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from selfprompt.cli.console import finish, parameter_line, progress, report
from selfprompt.cli.flags import MethodFlags, ProtocolFlags, RecipeFlags, given
from selfprompt.errors import UserError
from selfprompt.tuning.run import RunConfig, read_run, tune


def command(
    data: str | None = None,
    *,
    backbone: str | None = None,
    method: str = "spt",
    method_flags: Annotated[MethodFlags | None, Parameter(name="*")] = None,
    recipe_flags: Annotated[RecipeFlags | None, Parameter(name="*")] = None,
    protocol_flags: Annotated[ProtocolFlags | None, Parameter(name="*")] = None,
    image_size: int | None = None,
    out: Path | None = None,
    resume: Path | None = None,
    probe: bool = True,
    track: list[str] | None = None,
    seed: int = 0,
    json: bool = False,
) -> None:
    """Adapt a frozen backbone to labelled images; without DATA, the embedded example, offline.

    Args:
        data: A folder of class folders (flat, or under train/, val/, test/), a registered name, or hf:NAME.
        backbone: A timm name, a weights file, or builtin (the default).
        method: A name of `selfprompt list methods`, with fields of its own where wanted: gatevpt:gate_init=10.
        image_size: Side of the input in pixels, if not the backbone's own.
        out: The run's folder; runs/DATA-METHOD-TIME if left out.
        resume: Go on with the run in this folder, with its own settings.
        probe: Also measure a linear probe on the same frozen features.
        track: Further trackers, such as tensorboard.
        seed: Seed of the run (not of the split).
        json: Print metrics.json as one JSON object.
    """
    if resume is not None:
        if data is not None or any(map(given, (method_flags, recipe_flags, protocol_flags))):
            raise UserError(f"--resume {resume} goes on with that run's own settings: leave the others out.")
        config, folder = read_run(resume), resume
    else:
        config = RunConfig.resolve(
            data,
            backbone,
            method,
            fields=given(method_flags),
            recipe=given(recipe_flags),
            protocol=given(protocol_flags),
            image_size=image_size,
            seed=seed,
            probe=probe,
            trackers=tuple(track or ()),
        )
        stem = config.data.removeprefix("hf:").rstrip("/").rpartition("/")[2]
        folder = out or Path("runs") / f"{stem}-{config.method['name']}-{time.strftime('%Y%m%d-%H%M%S')}"
    with progress(f"{config.method['name']} on {config.data}") as advance:
        metrics = tune(config, folder, resume=resume is not None, on_step=advance).metrics
    finish(folder)
    report(metrics, json, summary(metrics, folder))


def summary(metrics: dict[str, Any], folder: Path) -> str:
    """The lines that a run ends with."""
    tested = f"{metrics['test_images']:,} images ({metrics['precision']})"
    lines = [
        parameter_line(metrics["trainable_parameters"], metrics["total_parameters"]),
        f"best epoch {metrics['best_epoch']}, validation accuracy {metrics['val_accuracy']:.2f} %",
        f"test accuracy {metrics['test_accuracy']:.2f} % on {tested}",
    ]
    if "linear_probe_test_accuracy" in metrics:
        probe = metrics["linear_probe_test_accuracy"]
        lines[-1] += f"; linear probe {probe:.2f} % ({metrics['test_accuracy'] - probe:+.2f})"
    adapter = folder / "adapter_model.safetensors"
    lines.append(
        f"adapter {adapter} ({adapter.stat().st_size / 1000:.0f} kB), {metrics['seconds']:.0f} s of training, "
        f"{100 * metrics['waiting_share']:.1f} % of its steps spent waiting for images"
    )
    lines.append(f"report {folder / 'report.html'}")
    return "\n".join(lines)
