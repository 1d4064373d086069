"""The studies of the SPT paper, as comparisons that anyone can run on their own images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selfprompt.comparison.compare import COLUMNS, Comparison, check_methods, measure, open_folder
from selfprompt.comparison.workers import Workers
from selfprompt.files import claimed
from selfprompt.methods import read_specs
from selfprompt.reports.table import Column, all_precisions, write_tables

Variation = tuple[str, str | None, dict[str, Any]]
"""A label, a backbone (None is the user's), and changes to the protocol."""


@dataclass(frozen=True)
class Study:
    """One factor, varied.

    Args:
        idea: What it asks.
        methods: The methods, where the factor is a field of theirs.
        variations: The settings under which all methods are compared.
    """

    idea: str
    methods: tuple[str, ...] = ("vpt", "spt")
    variations: tuple[Variation, ...] = (("", None, {}),)


LENGTHS = (20, 40, 60, 80, 100)
SIZES = (100, 200, 400, 800)
MODELS = ("vit_base_patch16_224.mae", "vit_large_patch16_224.mae", "vit_huge_patch14_224.mae")
STUDIES: dict[str, Study] = {
    "length": Study(
        "How many prompts? (Figure 3)", tuple(f"{m}:num_prompts={n}" for n in LENGTHS for m in ("vpt", "spt"))
    ),
    "prototypes": Study(
        "Which prototypes?", ("vpt", *(f"spt:prototypes={kind}" for kind in ("random", "mean", "max", "kmeans")))
    ),
    "share": Study(
        "How much data for prototypes?", tuple(f"spt:prototype_share={share}" for share in (0.01, 0.1, 0.3, 1.0))
    ),
    "training-set": Study(
        "How many labelled images?", variations=tuple((f"{n} images", None, {"train_images": n}) for n in SIZES)
    ),
    "model": Study("How large a model?", variations=tuple((name, name, {}) for name in MODELS)),
}
"""SPT (Wang et al., ICML 2024, arXiv 2402.02382) studies these factors on CUB with a ViT-B pretrained by MAE."""


def run_study(
    study: Study,
    methods: str | Sequence[str],
    make: Callable[[str | None, dict[str, Any]], Comparison],
    out: Path,
    *,
    seeds: int = 3,
    workers: Workers | None = None,
) -> dict[str, Any]:
    """Run a study and write its table; started again, it goes on where it was stopped.

    Args:
        study: What is varied.
        methods: The methods; in one text, with commas between.
        make: The comparison with a backbone (None is the user's) and changes to the protocol.
        out: The folder; every variation has one of its own in it.
        seeds: Runs of each method at its best settings.
        workers: Who does it; one process after the other by default.

    Returns:
        The table. Its rows are of several protocols where the variations are, and each has its ``setting``.

    Raises:
        UserError: As `compare` does.
    """
    methods = read_specs(methods)
    work, labels = [], []
    for label, backbone, changes in study.variations:
        comparison = make(backbone, changes)
        check_methods(comparison, methods)
        for spec in methods:
            work.append((comparison, out / label.replace(" ", "-").replace("/", "-"), spec))
            labels.append(label)
    with claimed(out):
        for comparison, folder, _ in work:
            open_folder(comparison, folder)
        measured = measure(work, seeds, workers or Workers())
    rows = [{"setting": label, **row} for label, row in zip(labels, measured)]
    first = work[0][0]
    table = {"protocol": first.protocol.hash, "dataset": first.data, "results": rows}
    table |= {"precision": all_precisions(rows), "settings": first.model_dump(mode="json")}
    more = (Column("setting", lambda r: r["setting"]), Column("protocol", lambda r: r["protocol"]))
    columns = (*COLUMNS[:1], *more, *COLUMNS[1:]) if len(study.variations) > 1 else COLUMNS
    write_tables(out, "table", table, columns, rows)
    return table
