"""``selfprompt compare [DATA] --methods ...``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from selfprompt.cli.console import finish, progress, report
from selfprompt.cli.flags import MethodFlags, ProtocolFlags, RecipeFlags, given
from selfprompt.comparison.bench import task_of
from selfprompt.comparison.compare import COLUMNS, Comparison, compare, protocol_of
from selfprompt.comparison.suites import MINI
from selfprompt.comparison.workers import Workers
from selfprompt.errors import UserError
from selfprompt.reports.table import markdown


def command(
    data: str | None = None,
    *,
    methods: str = "linear,full,vpt,spt",
    backbone: str | None = None,
    seeds: int = 3,
    trials: int | None = None,
    search: Literal["climb", "grid"] = "climb",
    method_flags: Annotated[MethodFlags | None, Parameter(name="*")] = None,
    recipe_flags: Annotated[RecipeFlags | None, Parameter(name="*")] = None,
    protocol_flags: Annotated[ProtocolFlags | None, Parameter(name="*")] = None,
    image_size: int | None = None,
    jobs: int = 1,
    on: Literal["here", "ray"] = "here",
    out: Path = Path("runs/compare"),
    seed: int = 0,
    json: bool = False,
) -> None:
    """Methods side by side under one protocol, each with the same search of its learning rate and weight decay.

    Settings are chosen on validation; only the runs at the chosen ones see the test set. The same command goes on
    where it was stopped.

    Args:
        data: As for tune; without it, the embedded images under the mini benchmark's settings.
        methods: Names with commas between, with fields where wanted: linear,spt,spt:prompt_rms=0.1.
        backbone: A timm name, a weights file, or builtin (the default).
        seeds: Runs of each method at its best settings.
        trials: Points that each search tries (5; 3 without DATA).
        search: climb steps from the published settings to better ones; grid tries the paper's own grid.
        image_size: Side of the input in pixels, if not the backbone's own.
        jobs: Runs at a time on one machine, each with its share of the threads.
        on: here, or ray: the cluster that RAY_ADDRESS names, or one started here.
        out: The comparison's folder.
        seed: Seed of the split; runs have the seeds 0, 1, ...
        json: Print the table as one JSON object.
    """
    if seeds < 1 or jobs < 1:
        raise UserError("--seeds and --jobs must be 1 or more.")
    protocol = {"split_seed": seed, **given(protocol_flags)} | ({"image_size": image_size} if image_size else {})
    changes = {"recipe": given(recipe_flags), "fields": given(method_flags), "search": search}
    if data is None:
        more = {} if trials is None else {"trials": trials}
        comparison = task_of(MINI, "mnist5k", backbone, protocol=protocol, **changes, **more)
    else:
        backbone = backbone or "builtin"
        settings = protocol_of(backbone, **protocol)
        comparison = Comparison(data=data, backbone=backbone, protocol=settings, trials=trials or 5, **changes)
    wanted = [spec.strip() for spec in methods.split(",")]
    with progress(f"comparing on {comparison.data}") as advance:
        table = compare(comparison, wanted, out, seeds=seeds, workers=Workers(jobs, on, advance))
    finish(out)
    text = f"{markdown(COLUMNS, table['results'])}protocol {table['protocol']}, tables in {out}"
    report({key: table[key] for key in ("protocol", "dataset", "results")}, json, text)
