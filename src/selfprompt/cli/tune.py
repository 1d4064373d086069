"""``selfprompt tune [DATA]``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from selfprompt import watch
from selfprompt.cli.console import began, emit, finish, is_first, own_command, parameter_line, stages, typed
from selfprompt.cli.flags import ColumnFlags, MethodFlags, ProtocolFlags, RecipeFlags, given
from selfprompt.cli.values import Count, Duration, Seed
from selfprompt.data.tables import Kind, with_columns
from selfprompt.errors import UserError

if TYPE_CHECKING:
    from selfprompt.runs.budget import Deadline
    from selfprompt.runs.config import RunConfig
    from selfprompt.runs.estimate import Estimate
    from selfprompt.runs.material import Material
    from selfprompt.tuning.records import Tested
    from selfprompt.tuning.result import Result


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
    estimate: bool = False,
    budget: Duration = None,
    json: bool = False,
) -> None:
    """Adapt a frozen backbone to labelled images or texts; without DATA, the embedded example, offline.

    Args:
        data: A folder of class folders (flat, or under train/, val/, test/), a table (.csv, .tsv, .jsonl, .parquet),
            a folder of one table of texts for each split (train.tsv, dev.tsv), a registered name, or hf:NAME. Where
            a registered name is a folder here, too, write ./NAME or name:NAME.
        backbone: A timm name, a weights file, open_clip:NAME/TAG for two towers, of images and of texts,
            text:NAME_OR_FOLDER for a language model, which takes texts, builtin, or auto (the default): a general one
            for images of your own, where the hub's cache has it or the hub can be reached, else a packaged one; what
            is used is said.
        method: A name of `selfprompt list methods`, with fields of its own where wanted (gatevpt:gate_init=10); or
            auto (the default), which is spt, or the linear probe where that does better on validation.
        image_size: Side of the input in pixels, if not the backbone's own.
        first: Data that the prompts are trained on before, in OUT/first, such as pairs:CORPUS for ppt.
        config: Settings in a file: YAML, TOML or JSON, flags by their names; or the run.json of another run. Flags
            on the command line win.
        out: The run's folder (runs/DATA-METHOD-TIME).
        resume: Resume the run in this folder, with its own settings.
        probe: Also measure a linear probe on the same frozen features (yes).
        track: Further trackers, such as tensorboard.
        seed: Seed of the run (0), not of the split.
        estimate: Say what the run would take in time and memory, measured on a few of its examples, and stop.
        budget: Time for the whole run, such as 90s, 10m or 1h: chooses the epochs that fit, more or fewer than the
            recipe's, and ends training early where they do not.
        json: Print metrics.json as one JSON object; with --estimate, what the run would take.
    """
    begun = began[-1] if began else watch.clock()
    from selfprompt.methods import for_recipe, read_spec
    from selfprompt.runs.config import RunConfig, read_run
    from selfprompt.runs.config_file import Settings, read_settings
    from selfprompt.runs.unnamed import AUTO, method_of

    if resume is not None:
        own = {"backbone": backbone, "method": method, "image-size": image_size, "first": first, "out": out}
        own |= {"config": config, "probe": probe, "track": track, "seed": seed} | given(method_flags)
        own |= {"estimate": estimate or None, "budget": budget}
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
        if budget and "epochs" in given(recipe_flags) | for_recipe(*method_of(method or AUTO)):
            raise UserError("--budget chooses the epochs: leave --epochs out, or --budget.")
        file = Settings() if config is None else read_settings(config, backbone, method)
        probe = file.probe if probe is None else probe
        chosen = RunConfig.resolve(
            with_columns(file.data if data is None else data, file.columns | given(column_flags)),
            file.backbone if backbone is None else backbone,
            (file.method or AUTO) if method is None else method,
            fields=file.fields | given(method_flags),
            recipe=file.recipe | given(recipe_flags),
            protocol=file.protocol | given(protocol_flags),
            image_size=file.image_size if image_size is None else image_size,
            first=file.first if first is None else first,
            seed=(file.seed or 0) if seed is None else seed,
            probe=probe is not False,
            trackers=tuple(file.trackers or () if track is None else track),
        )
    from selfprompt.runs.budget import within
    from selfprompt.runs.estimate import price, spoken
    from selfprompt.runs.material import Material
    from selfprompt.runs.tune import must_be_free

    material, deadline, found = Material(), None, None
    with stages():
        if budget:
            if out is not None:
                must_be_free(out)
            chosen, found, deadline = within(budget, chosen, material, begun, finish)
        elif estimate:
            found = price(chosen, material, begun, finish)
        if found and not estimate and is_first():
            print(f"budget: {chosen.recipe.epochs} epochs, {spoken(found.seconds)}", file=sys.stderr)
        done = None if estimate else made(chosen, out, resume, material, deadline)
    if done is None:
        assert found is not None
        emit(found.to_dict(), json, cost(found))
        return
    assert done.output_dir is not None
    assert "test_images" in done.metrics
    if found and deadline and deadline.over and len(done.history) < found.epochs and is_first():
        print(f"budget: it was used up in epoch {len(done.history)} of {found.epochs}", file=sys.stderr)
    emit(done.metrics, json, summary(done.metrics, done.output_dir, chosen.protocol.inputs))


def made(
    config: RunConfig, out: Path | None, resume: Path | None, material: Material, ends: Deadline | None
) -> Result:
    """A run, and the page about it."""
    from selfprompt.runs.tune import tune

    command = None if resume else own_command()
    again = resume is not None
    try:
        done = tune(config, resume or out, resume=again, command=command, material=material, ends=ends)
    except KeyboardInterrupt as stopped:
        if stopped.args:
            print(f"stopped: {typed('selfprompt', 'tune', '--resume', stopped.args[0])} goes on", file=sys.stderr)
        raise
    assert done.output_dir is not None
    with watch.stage("report"):
        finish(done.output_dir)
    return done


def cost(found: Estimate) -> str:
    """What a run will take, in lines."""
    from selfprompt.runs.estimate import spoken

    parts = ", ".join(f"{name} {spoken(seconds)}" for name, seconds in found.parts.items() if seconds >= 0.5)
    return "\n".join(
        (
            f"about {spoken(found.seconds)} for {found.epochs} epochs of {found.steps} steps: {parts}",
            f"about {found.peak_memory_bytes / 1e9:.1f} GB of memory at most",
            parameter_line(found.trainable_parameters, found.total_parameters),
            f"adapter of {found.adapter_bytes / 1000:.0f} kB",
        )
    )


def summary(metrics: Tested, folder: Path, inputs: Kind = "image") -> str:
    """The lines that a run ends with."""
    from selfprompt.runs.tune import FIRST
    from selfprompt.scores import classes as scores
    from selfprompt.scores import verdicts
    from selfprompt.scores.asked import WORDS
    from selfprompt.tuning.records import METRICS, Tested, choice, epoch_kept, read_metrics

    tested = f"{metrics['test_images']:,} {inputs}s ({metrics['precision']})"
    val = metrics["val_accuracy"]  # None where validation images were trained on, too
    lines = [
        parameter_line(metrics["trainable_parameters"], metrics["total_parameters"]),
        ("nothing to train" if not metrics["best_epoch"] else f"best epoch {epoch_kept(metrics)}")
        + ("" if val is None else f", validation accuracy {val:.2f} %"),
        f"test accuracy {metrics['test_accuracy']:.2f} % on {tested}",
    ]
    if (metric := metrics.get("metric")) and (best := metrics.get("val_score")) is not None:
        lines[1] += f", {WORDS[metric]} {best:.2f} %"
    if "map" in metrics.get("scores", {}):
        lines[2] += "; of all labels of each at once"
    if "instead_of" in metrics:
        instead = metrics["instead_of"]
        lines[1] = f"{choice(metrics)} (--method {instead['method']} keeps them)"
        lines[-1] += f"; prompts {instead['test_accuracy']:.2f} %"
    elif "linear_probe_test_accuracy" in metrics:
        probe = metrics["linear_probe_test_accuracy"]
        lines[-1] += f"; linear probe {probe:.2f} % ({metrics['test_accuracy'] - probe:+.2f})"
    if "scores" in metrics:
        lines.append(scores.told(metrics["scores"]))
    if "uncalibrated" in metrics:
        lines.append(f"no temperature: {metrics['uncalibrated']}")
    lines += [verdicts.told(found) for found in metrics.get("worth", ())]
    if "new_classes" in metrics:
        new = metrics["new_classes"]
        lines.append(
            f"classes it never saw: {new['accuracy']:.2f} % of {new['images']:,} {inputs}s (zero-shot "
            f"{new['zero_shot_accuracy']:.2f} %), harmonic mean with its own {new['harmonic_mean']:.2f} %"
        )
    if (folder / FIRST / METRICS).exists():
        first = read_metrics(folder / FIRST, Tested)
        lines.insert(
            1,
            f"prompts trained first on {first['dataset']}, where they have {first['test_accuracy']:.2f} % of "
            f"{first['test_images']:,} {inputs}s right",
        )
    adapter = folder / "adapter_model.safetensors"
    lines.append(
        f"adapter {adapter} ({adapter.stat().st_size / 1000:.0f} kB), {metrics['seconds']:.0f} s of training, "
        f"{100 * metrics['waiting_share']:.1f} % of its steps spent waiting for {inputs}s"
    )
    lines.append(f"report {folder / 'report.html'}")
    return "\n".join(lines)
