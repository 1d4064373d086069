"""``selfprompt tune [DATA]``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from selfprompt.cli.console import emit, finish, own_command, parameter_line, progress
from selfprompt.cli.flags import ColumnFlags, MethodFlags, ProtocolFlags, RecipeFlags, given
from selfprompt.cli.values import Count, Seed
from selfprompt.data.tables import Kind, with_columns
from selfprompt.errors import UserError

if TYPE_CHECKING:
    from selfprompt.tuning.records import Tested


def command(
    data: str | None = None,
    *,
    backbone: str | None = None,
    method: str | None = None,
    method_flags: MethodFlags = None,
    recipe_flags: RecipeFlags = None,
    protocol_flags: ProtocolFlags = None,
    column_flags: ColumnFlags = None,
    image_size: Count | None = None,
    first: str | None = None,
    config: Path | None = None,
    out: Path | None = None,
    resume: Path | None = None,
    probe: bool | None = None,
    track: list[str] | None = None,
    seed: Seed | None = None,
    json: bool = False,
) -> None:
    """Adapt a frozen backbone to labelled images or texts; without DATA, the embedded example, offline.

    Args:
        data: A folder of class folders (flat, or under train/, val/, test/), a table (.csv, .tsv, .jsonl, .parquet),
            a folder of one table of texts for each split (train.tsv, dev.tsv), a registered name, or hf:NAME. Where
            a registered name is a folder here, too, write ./NAME or name:NAME.
        backbone: A timm name, a weights file, text:NAME_OR_FOLDER for a language model, which takes texts, or builtin
            (the default).
        method: A name of `selfprompt list methods` (spt), with fields of its own where wanted: gatevpt:gate_init=10.
        image_size: Side of the input in pixels, if not the backbone's own.
        first: Data that the prompts are trained on before, in OUT/first, such as pairs:CORPUS for ppt.
        config: Settings in a file: YAML, TOML or JSON, flags by their names; or the run.json of another run. Flags
            on the command line win.
        out: The run's folder (runs/DATA-METHOD-TIME).
        resume: Resume the run in this folder, with its own settings.
        probe: Also measure a linear probe on the same frozen features (yes).
        track: Further trackers, such as tensorboard.
        seed: Seed of the run (0), not of the split.
        json: Print metrics.json as one JSON object.
    """
    from selfprompt.methods import read_spec
    from selfprompt.runs.config import RunConfig, read_run
    from selfprompt.runs.config_file import Settings, read_settings
    from selfprompt.runs.tune import tune

    if resume is not None:
        own = {"backbone": backbone, "method": method, "image-size": image_size, "first": first, "out": out}
        own |= {"config": config, "probe": probe, "track": track, "seed": seed} | given(method_flags)
        own |= given(recipe_flags) | given(protocol_flags) | given(column_flags)
        others = ["--" + name.replace("_", "-") for name, value in own.items() if value is not None]
        if others or data is not None:
            left = ", ".join(others) or f"DATA ({data})"
            raise UserError(f"--resume {resume} resumes with that run's own settings: leave {left} out.")
        chosen = read_run(resume)
        if not chosen.test:
            raise UserError(f"{resume} is a trial of a search, which sees no test image: resume the search itself.")
    else:
        if twice := read_spec(method or "")[1].keys() & given(method_flags).keys():
            flag = "--" + min(twice).replace("_", "-")
            raise UserError(f"--method {method} and {flag} both say {min(twice)}: leave one out.")
        file = Settings() if config is None else read_settings(config, backbone, method)
        probe = file.probe if probe is None else probe
        chosen = RunConfig.resolve(
            with_columns(file.data if data is None else data, given(column_flags)),
            file.backbone if backbone is None else backbone,
            (file.method or "spt") if method is None else method,
            fields=file.fields | given(method_flags),
            recipe=file.recipe | given(recipe_flags),
            protocol=file.protocol | given(protocol_flags),
            image_size=file.image_size if image_size is None else image_size,
            first=file.first if first is None else first,
            seed=(file.seed or 0) if seed is None else seed,
            probe=probe is not False,
            trackers=tuple(file.trackers or () if track is None else track),
        )
    command = None if resume else own_command()
    with progress(f"{chosen.method.name} on {chosen.data}") as advance:
        done = tune(chosen, resume or out, resume=resume is not None, on_step=advance, command=command)
    assert done.output_dir is not None
    assert "test_images" in done.metrics
    finish(done.output_dir)
    emit(done.metrics, json, summary(done.metrics, done.output_dir, chosen.protocol.inputs))


def summary(metrics: Tested, folder: Path, inputs: Kind = "image") -> str:
    """The lines that a run ends with."""
    from selfprompt.scores import classes as scores
    from selfprompt.scores import verdicts
    from selfprompt.scores.asked import WORDS

    tested = f"{metrics['test_images']:,} {inputs}s ({metrics['precision']})"
    val = metrics["val_accuracy"]  # None where validation images were trained on, too
    lines = [
        parameter_line(metrics["trainable_parameters"], metrics["total_parameters"]),
        ("nothing to train" if not metrics["best_epoch"] else f"best epoch {metrics['best_epoch']}")
        + ("" if val is None else f", validation accuracy {val:.2f} %"),
        f"test accuracy {metrics['test_accuracy']:.2f} % on {tested}",
    ]
    if (metric := metrics.get("metric")) and (best := metrics.get("val_score")) is not None:
        lines[1] += f", {WORDS[metric]} {best:.2f} %"
    if "map" in metrics.get("scores", {}):
        lines[2] += "; of all labels of each at once"
    if "linear_probe_test_accuracy" in metrics:
        probe = metrics["linear_probe_test_accuracy"]
        lines[-1] += f"; linear probe {probe:.2f} % ({metrics['test_accuracy'] - probe:+.2f})"
    if "scores" in metrics:
        lines.append(scores.told(metrics["scores"]))
    if "uncalibrated" in metrics:
        lines.append(f"no temperature: {metrics['uncalibrated']}")
    lines += [verdicts.told(found) for found in metrics.get("worth", ())]
    adapter = folder / "adapter_model.safetensors"
    lines.append(
        f"adapter {adapter} ({adapter.stat().st_size / 1000:.0f} kB), {metrics['seconds']:.0f} s of training, "
        f"{100 * metrics['waiting_share']:.1f} % of its steps spent waiting for {inputs}s"
    )
    lines.append(f"report {folder / 'report.html'}")
    return "\n".join(lines)
