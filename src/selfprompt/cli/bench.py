"""``selfprompt bench mini``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from selfprompt.cli.console import progress, report
from selfprompt.cli.flags import MethodFlags, RecipeFlags, given
from selfprompt.comparison.bench import bench
from selfprompt.comparison.suites import SUITES
from selfprompt.errors import UserError


def command(
    suite: Literal["mini"],
    *,
    methods: str = "linear,full,vpt,spt,spt:prompt_rms=0.1,vpt:frozen_prompts=true,spt:frozen_prompts=true",
    backbone: str | None = None,
    seeds: int = 3,
    trials: int | None = None,
    method_flags: Annotated[MethodFlags | None, Parameter(name="*")] = None,
    recipe_flags: Annotated[RecipeFlags | None, Parameter(name="*")] = None,
    jobs: int = 1,
    out: Path | None = None,
    seed: int = 0,
    json: bool = False,
) -> None:
    """A whole benchmark, method by group of tasks. The same command goes on where it was stopped.

    Args:
        suite: mini is VTAB-1K's protocol in miniature, offline.
        methods: Names with commas between, with fields where wanted.
        backbone: A timm name, a weights file, or builtin (the default).
        seeds: Runs of each method on each task at its best settings.
        trials: Points that each search tries (3).
        jobs: Methods at a time, each with its share of the threads.
        out: The benchmark's folder; runs/bench-SUITE if left out.
        seed: Seed of the splits; runs have the seeds 0, 1, ...
        json: Print the table as one JSON object.
    """
    if seeds < 1 or jobs < 1:
        raise UserError("--seeds and --jobs must be 1 or more.")
    folder = out or Path(f"runs/bench-{suite}")
    changes = {"protocol": {"split_seed": seed}, "recipe": given(recipe_flags), "fields": given(method_flags)}
    with progress(f"benchmark {suite}") as advance:
        table = bench(
            SUITES[suite],
            [spec.strip() for spec in methods.split(",")],
            folder,
            backbone=backbone,
            seeds=seeds,
            jobs=jobs,
            on_done=advance,
            **changes,
            **({} if trials is None else {"trials": trials}),
        )
    text = f"{(folder / 'table.md').read_text()}protocol {table['protocol']}, tables in {folder}"
    report({key: table[key] for key in ("protocol", "benchmark", "results")}, json, text)
