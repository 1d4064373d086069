"""``selfprompt compare [DATA] --methods ...``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from selfprompt.cli.console import emit, finish, own_command, progress
from selfprompt.cli.flags import ColumnFlags, MethodFlags, RecipeFlags, SearchProtocolFlags, given
from selfprompt.cli.values import Count, Seed, Whole, one_of
from selfprompt.comparison.studies import STUDIES
from selfprompt.data.tables import with_columns

if TYPE_CHECKING:
    from selfprompt.comparison.compare import Comparison

    StudyName = str | None
else:
    StudyName = one_of(STUDIES)


def command(
    data: str | None = None,
    *,
    methods: str | None = None,
    study: StudyName = None,
    backbone: str | None = None,
    seeds: Count = 3,
    trials: Count | None = None,
    further_trials: Whole = 0,
    search: Literal["climb", "grid"] = "climb",
    method_flags: MethodFlags = None,
    recipe_flags: RecipeFlags = None,
    protocol_flags: SearchProtocolFlags = None,
    column_flags: ColumnFlags = None,
    image_size: Count | None = None,
    jobs: Count = 1,
    on: Literal["here", "ray"] = "here",
    out: Path = Path("runs/compare"),
    seed: Seed = 0,
    json: bool = False,
) -> None:
    """Methods side by side under one protocol, each with the same search of its learning rate and weight decay.

    Settings are chosen on validation; only the runs at the chosen ones see the test set. The same command resumes
    it where it was stopped.

    Args:
        data: As for tune; without it, the embedded images under the mini benchmark's settings.
        methods: Names with commas between, with fields where wanted: linear,spt,spt:prompt_rms=0.1 (a linear
            probe, full fine-tuning, VPT and SPT).
        study: One of the SPT paper's studies: of the prompts' number, of prototypes and the share of the images that
            they are made of, of the size of the training set and of the model.
        backbone: A timm name, a weights file, builtin, or auto (the default): a general one for images of your own,
            where the hub's cache has it or the hub can be reached, else builtin.
        seeds: Runs of each method at its best settings.
        trials: Points that each search tries (5; 3 without DATA).
        further_trials: At most so many points more while the best learning rate is the smallest or largest tried.
        search: climb steps from the published settings to better ones; grid tries the paper's own grid.
        image_size: Side of the input in pixels, if not the backbone's own.
        jobs: Runs at a time on one machine, each with its share of the threads.
        on: here, or ray: the cluster that RAY_ADDRESS names, or one started here.
        out: The comparison's folder.
        seed: Seed of the split; runs have the seeds 0, 1, ...
        json: Print the table as one JSON object.
    """
    from selfprompt.comparison.bench import task_of
    from selfprompt.comparison.compare import Comparison, compare, protocol_of
    from selfprompt.comparison.study import run_study
    from selfprompt.comparison.suites import MINI
    from selfprompt.comparison.workers import Workers
    from selfprompt.methods import compared, packaged_for
    from selfprompt.reports.table import footer
    from selfprompt.runs.unnamed import AUTO, unnamed

    data = with_columns(data, given(column_flags))
    size = {} if image_size is None else {"image_size": image_size}
    protocol = {"split_seed": seed, **given(protocol_flags), **size}
    changes: dict[str, Any] = {"recipe": given(recipe_flags), "fields": given(method_flags)}
    changes |= {"search": search, "further_trials": further_trials}

    def make(other: str | None = None, more: dict[str, Any] | None = None) -> Comparison:
        chosen, settings = other or backbone, protocol | (more or {})
        if data is None:
            tried = {} if trials is None else {"trials": trials}
            return task_of(MINI, "mnist5k", chosen, protocol=settings, **changes, **tried)
        if chosen in (None, AUTO):
            chosen, side = unnamed(packaged_for(wanted), data)
            settings = ({} if side is None else {"image_size": side}) | settings
        settings = protocol_of(chosen, **settings)
        return Comparison(
            data=data, backbone=chosen, protocol=settings, trials=5 if trials is None else trials, **changes
        )

    plan = STUDIES[study] if study else None
    wanted = methods.split(",") if methods is not None else plan.methods if plan else compared()
    wanted = [spec.strip() for spec in wanted]
    with progress(f"comparing on {data or 'mnist5k'}") as advance:
        workers = Workers(jobs, on, advance)
        if plan:
            table = run_study(plan, wanted, make, out, seeds=seeds, workers=workers)
        else:
            table = compare(make(), wanted, out, seeds=seeds, workers=workers)
    finish(out, own_command())
    text = f"{(out / 'table.md').read_text(encoding='utf-8')}{footer(table)}; tables in {out}"
    emit({key: table.get(key) for key in ("protocol", "precision", "dataset", "results")}, json, text)
