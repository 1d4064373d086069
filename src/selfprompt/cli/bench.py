"""``selfprompt bench mini|mini-clip|mini-text|vtab1k|fgvc|coop11|imagenet-shift``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from selfprompt.cli.console import emit, finish, own_command, progress
from selfprompt.cli.flags import MethodFlags, RecipeFlags, given
from selfprompt.cli.values import Count, Seed, Whole, one_of
from selfprompt.comparison.suites import SUITES
from selfprompt.errors import UserError
from selfprompt.methods import compared

if TYPE_CHECKING:
    Benchmark = str
    Preset = str | None
else:
    Benchmark = Literal[tuple(SUITES)]
    Preset = one_of(dict.fromkeys(preset for presets in SUITES.values() for preset in presets))


def command(
    suite: Benchmark,
    *,
    methods: str | None = None,
    backbone: str | None = None,
    root: Path | None = None,
    preset: Preset = None,
    search: Literal["climb", "grid"] = "climb",
    shots: Count | None = None,
    seeds: Count = 3,
    trials: Count | None = None,
    further_trials: Whole = 0,
    method_flags: MethodFlags = None,
    recipe_flags: RecipeFlags = None,
    jobs: Count = 1,
    on: Literal["here", "ray"] = "here",
    out: Path | None = None,
    seed: Seed = 0,
    json: bool = False,
) -> None:
    """A whole benchmark, method by group of tasks. The same command resumes it where it was stopped.

    Args:
        suite: Offline: mini is VTAB-1K's protocol in miniature; mini-clip and mini-text are few shots on the packaged
            image-text model and language model. The others are looked for on disk: vtab1k, fgvc, and for image-text
            models coop11 (few-shot, and from base to new classes) and imagenet-shift.
        methods: Names with commas between, with fields where wanted (those of every comparison; the suite's own
            for image-text and language models).
        backbone: A timm name, a weights file, or builtin (the default).
        root: The folder that holds the data, in any of the layouts in which they are distributed.
        preset: The paper whose resizing, normalisation and augmentation are used (spt2024; cocoop2022 of coop11);
            mini-clip has base-to-new and shift, mini-text k32 and k8 (texts of each class).
        search: climb steps from the published settings to better ones; grid tries the paper's own grid.
        shots: Training images of each class, if not the preset's.
        seeds: Runs of each method on each task at its best settings.
        trials: Points that each search tries (5; mini 3, mini-text 2, mini-clip 1).
        further_trials: At most so many points more while the best learning rate is the smallest or largest tried.
        jobs: Runs at a time on one machine, each with its share of the threads.
        on: here, or ray: the cluster that RAY_ADDRESS names, or one started here.
        out: The benchmark's folder (runs/bench-SUITE).
        seed: Seed of the splits; runs have the seeds 0, 1, ...
        json: Print the table as one JSON object.
    """
    from selfprompt.comparison.bench import bench
    from selfprompt.comparison.published import reported
    from selfprompt.comparison.workers import Workers
    from selfprompt.data.listed import ROOT
    from selfprompt.reports.table import footer

    presets = SUITES[suite]
    if preset is not None and preset not in presets:
        raise UserError(f"Benchmark {suite} has no preset {preset}: it has {', '.join(presets)}.")
    if root is not None:
        os.environ[ROOT] = str(root)
    folder = out or Path(f"runs/bench-{suite}")
    chosen = presets[preset] if preset else next(iter(presets.values()))
    usual = chosen.methods or (reported(chosen.as_reported) if chosen.as_reported else compared(variants=True))
    names = usual if methods is None else methods.split(",")
    protocol = {"split_seed": seed} | ({} if shots is None else {"shots": shots})
    changes = {"protocol": protocol, "recipe": given(recipe_flags), "fields": given(method_flags)}
    with progress(f"benchmark {suite}") as advance:
        table = bench(
            chosen,
            [spec.strip() for spec in names],
            folder,
            backbone=backbone,
            seeds=seeds,
            workers=Workers(jobs, on, advance),
            search=search,
            further_trials=further_trials,
            **changes,
            **({} if trials is None else {"trials": trials}),
        )
    finish(folder, own_command())
    text = f"{(folder / 'table.md').read_text(encoding='utf-8')}{footer(table)}; tables in {folder}"
    emit({key: table.get(key) for key in ("protocol", "precision", "benchmark", "results")}, json, text)
