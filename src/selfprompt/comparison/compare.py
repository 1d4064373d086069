"""Methods on one data set under one protocol, with equal tuning effort."""

from __future__ import annotations

import json
import re
import shutil
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from selfprompt.backbones.load import info
from selfprompt.comparison.beyond import Asked, Final, also_columns, asked_of, derived, deviation, evaluated
from selfprompt.comparison.paired import held_against_best, paired_columns
from selfprompt.comparison.rows import COLUMNS, Chosen, Row, score_columns
from selfprompt.comparison.search import Point, Trial, at_an_end, climb, ends, grid_points, search
from selfprompt.comparison.workers import Unit, Workers
from selfprompt.data.protocol import AnyProtocol, BaseProtocol, protocol_for
from selfprompt.errors import UserError, out_of_range
from selfprompt.files import LOCK, claimed, read_json, replace_file
from selfprompt.methods import RECORDS, for_recipe, make_method, read_spec, read_specs, record_of
from selfprompt.methods.recipe import Recipe
from selfprompt.reports.table import Compared, Tried, all_precisions, write_tables
from selfprompt.runs.config import RunConfig
from selfprompt.runs.material import Material
from selfprompt.runs.tune import begun, tune
from selfprompt.tuning.records import score_of

SETTINGS, JOURNAL = "comparison.json", "journal.log"


class Comparison(BaseModel):
    """What decides a comparison's numbers; comparison.json in its folder.

    Args:
        data, backbone: What `load_dataset` and `load_backbone` take.
        protocol: One for all methods.
        recipe: Changes to every method's published recipe.
        fields: Fields of methods, for those that have them; a spec's own beat them.
        rates: Which of `Method.rates` the searches start at (see `Method.searched_from`), if not at the recipe's.
            Where the recipe has a ``head_lr``, both are searched.
        trials: Points that the search tries for every method.
        further_trials: At most so many points more while a best rate is the smallest or the largest tried.
        search: ``climb`` (see `climb`), or each paper's own ``grid``, all of it.
        also: Data sets on which the tested runs are evaluated besides, all of their classes asked; only heads that
            answer for any classes are. Where the protocol's classes are ``base``, so are the new ones.
        adapt: What those are asked under besides, such as ``tpt`` (see `list_adaptations`); those without are left
            as they are.
        starts: Folders of runs whose prompts others start from, by what their specs call them (``start=NAME``).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    data: str
    backbone: str
    protocol: AnyProtocol
    recipe: dict[str, Any] = {}
    fields: dict[str, Any] = {}
    rates: str | None = None
    trials: int = Field(default=5, ge=1)
    further_trials: int = Field(default=0, ge=0)
    search: Literal["climb", "grid"] = "climb"
    also: tuple[str, ...] = ()
    adapt: tuple[str, ...] = ()
    starts: dict[str, str] = Field(default={}, exclude=True)

    def asked(self) -> dict[str, Asked]:
        """What tested runs are evaluated on besides, by name."""
        return asked_of(self.data, self.protocol.classes, self.also, self.adapt)

    def run(self, spec: str) -> RunConfig:
        """The run of a method at the point where its search starts.

        Args:
            spec: A method's name and fields, as ``spt:prompt_rms=0.1``.

        Raises:
            UserError: The method or a field is not to be had, or the recipe is out of range.
        """
        name, own = read_spec(spec)
        trained = for_recipe(name, own)
        if own.get("start") in self.starts:
            own["start"] = self.starts[own["start"]]
        known = record_of(name).factory.model_fields
        fields = {key: value for key, value in self.fields.items() if key in known} | own
        recipe = make_method(name, **fields).searched_from(self.rates, self.recipe)
        return RunConfig.resolve(
            self.data,
            self.backbone,
            name,
            fields=fields,
            recipe=recipe | trained,
            protocol=self.protocol.model_dump(exclude_unset=True),
            image_size=self.protocol.side,
            probe=False,
        )


def protocol_of(backbone: str, image_size: int | None = None, **changes: Any) -> BaseProtocol:
    """The protocol of a comparison: the backbone's own, with changes."""
    known = info(backbone, image_size)
    try:
        return protocol_for(known, **changes)
    except ValidationError as error:
        raise out_of_range(error) from None


def check_methods(comparison: Comparison, methods: Sequence[str]) -> None:
    """Refuse methods that cannot be run side by side, before anything is.

    Raises:
        UserError: One is not to be had, or stands twice.
    """
    for i, spec in enumerate(methods):
        if not spec:
            raise UserError("--methods has an empty name: write names with one comma between, such as linear,spt.")
        if folder_of(Path(), spec) in [folder_of(Path(), other) for other in methods[:i]]:
            raise UserError(f"--methods has {spec} twice: leave one out.")
        comparison.run(spec)


def open_folder(comparison: Comparison, out: Path) -> None:
    """Make a comparison's folder, or go on with the one that is there.

    Raises:
        UserError: The folder holds a comparison with other settings.
    """
    path = out / SETTINGS
    settings = comparison.model_dump(mode="json", exclude={"also", "adapt"})  # which may be added to
    if path.exists():
        there = read_json(path, "choose another --out, or remove it")
        if isinstance(listed := there.get("rates"), dict):  # as files were that listed them
            own = {name: record.factory.rates.get("mini") for name, record in RECORDS.items()}
            there["rates"] = None if not listed else "mini" if listed.items() <= own.items() else listed
        if isinstance(there.get("protocol"), dict):  # as files were that lack fields which came later
            known = type(comparison.protocol).model_fields
            there["protocol"] = {k: f.default for k, f in known.items()} | there["protocol"]
        there.setdefault("further_trials", 0)  # likewise
        odd = next((key for key in settings if there.get(key) != settings[key]), None)
        if odd:
            raise UserError(f"{out} holds a comparison with another {odd}: choose another --out, or remove it.")
    replace_file(path, json.dumps(settings, indent=2) + "\n")


def choose(comparison: Comparison, out: Path, spec: str) -> Chosen:
    """Search one method's learning rates and weight decay on validation.

    Args:
        comparison: The settings.
        out: The comparison's folder.
        spec: A method's name and fields.

    Returns:
        ``number`` of the best trial, its ``point`` by name (see `Point`), and all ``trials`` in their order.
    """
    base = comparison.run(spec)
    if comparison.protocol.final == "train+val":  # trials are scored where the last runs end
        base = base.model_copy(update={"protocol": base.protocol.model_copy(update={"selection": "last"})})

    material = Material()

    def trial(number: int, point: Point) -> tuple[float, float]:
        config = base.model_copy(update={"recipe": at(base.recipe, point), "test": False})
        folder = folder_of(out, spec) / f"trial-{number}"
        result = tune(config, folder, resume=begun(folder), material=material)
        metric = result.metrics.get("metric", "accuracy")
        if not result.history:
            return result.metrics.get("val_score", result.metrics["val_accuracy"]) or 0.0, 0.0
        kept = result.history[result.metrics["best_epoch"] - 1]
        return kept[f"val_{metric}"], kept["val_loss"]

    grid = None
    trains = bool(base.method.stages(base.recipe))
    if comparison.search == "grid" and trains:
        published = base.method.grid
        if published is None:
            raise UserError(f"Method {base.method.name} publishes no grid: use --search climb.")
        grid = grid_points(published, base.recipe)

    def propose(done: list[Trial]) -> Point | None:
        if grid is not None:
            return grid[len(done)] if len(done) < len(grid) else None
        start, count = Point(base.recipe.lr, head_lr=base.recipe.head_lr), comparison.trials if trains else 1
        if trains and len(done) >= count and ends(done):
            count += comparison.further_trials
        return climb(start, done) if len(done) < count else None

    trials = search(out / JOURNAL, spec, propose, trial)
    number = max(range(len(trials)), key=lambda n: trials[n].score)
    return {"number": number, "point": trials[number].point.params(), "trials": [told(t) for t in trials]}


def told(trial: Trial) -> Tried:
    """A trial, as tables hold it."""
    point = trial.point
    made: Tried = {"lr": point.lr, "decay": point.decay, "val_accuracy": trial.accuracy}
    if point.head_lr is not None:
        made["head_lr"] = point.head_lr
    return made


def final(comparison: Comparison, out: Path, spec: str, chosen: Chosen, seed: int) -> Final:
    """Run a method at its chosen settings and test it once, and on what else the comparison asks.

    Args:
        comparison: The settings.
        out: The comparison's folder.
        spec: A method's name and fields.
        chosen: From `choose`.
        seed: Of the run.

    Returns:
        The run's metrics.
    """
    base, folder = comparison.run(spec), folder_of(out, spec)
    whole = comparison.protocol.final == "train+val"
    if seed == 0 and not whole and not (folder / "seed-0").exists():
        half = folder / "seed-0.copy"  # a kill leaves no half of a run under its name
        shutil.rmtree(half, ignore_errors=True)
        shutil.copytree(folder / f"trial-{chosen['number']}", half, ignore=shutil.ignore_patterns(LOCK))
        half.rename(folder / "seed-0")  # it only lacks its test
    recipe = at(base.recipe, Point(**chosen["point"]))
    config = base.model_copy(update={"recipe": recipe, "seed": seed, "whole": whole})
    own = folder / f"seed-{seed}"
    done = tune(config, own, resume=begun(own), analysed=False)
    assert "test_images" in done.metrics
    return {**done.metrics, "also": evaluated(own, comparison.asked(), done.metrics)}


def folder_of(out: Path, spec: str) -> Path:
    """Where a method's runs stand."""
    return out / "runs" / re.sub(r"[^\w.=+-]+", "-", spec).rstrip(".")


def at(recipe: Recipe, point: Point) -> Recipe:
    """A recipe at a point of the search; a head's rate that was not searched stays."""
    decays = {key: getattr(recipe, key) * point.decay for key in ("weight_decay", "head_weight_decay")}
    end = point.lr if recipe.min_lr == recipe.lr else recipe.min_lr  # a rate that is constant stays so
    rates = {"lr": point.lr, "head_lr": point.head_lr or recipe.head_lr, "min_lr": end}
    return recipe.model_copy(update=rates | decays)


def row(spec: str, chosen: Chosen, metrics: list[Final]) -> Row:
    """One row of the table, with all trials."""
    accuracies = [m["test_accuracy"] for m in metrics]
    best, recipe = chosen["trials"][chosen["number"]], metrics[0]["recipe"]
    fields, named = metrics[0]["method_fields"], read_spec(spec)[1]
    if "start" in named:  # as it was asked for, not where it stood
        fields = fields | {"start": named["start"]}
    made: Row = {
        "method": spec,
        "test_accuracy_mean": statistics.mean(accuracies),
        "test_accuracy_std": deviation(accuracies),
        "seeds": len(metrics),
        "trainable_parameters": metrics[0]["trainable_parameters"],
        "total_parameters": metrics[0]["total_parameters"],
        "seconds": statistics.mean(m["seconds"] for m in metrics),
        "peak_memory_bytes": max(m["peak_memory_bytes"] for m in metrics),
        "val_accuracy": best["val_accuracy"],
        "lr": best["lr"],
        "lr_at_the_end_of_what_was_tried": at_an_end(best["lr"], [t["lr"] for t in chosen["trials"]]),
        "weight_decay": recipe["weight_decay"],
        "head_weight_decay": recipe["head_weight_decay"],
        "test_accuracies": accuracies,
        "trials": chosen["trials"],
        "method_fields": fields,
        "readout": fields["readout"],
        "protocol": metrics[0]["protocol"],
        "precision": all_precisions(metrics),
        "budget": max(m.get("epochs", m["recipe"]["epochs"]) / m["recipe"]["epochs"] for m in metrics),
    }
    if metric := metrics[0].get("metric"):
        found = [score_of(m) for m in metrics]
        made["metric"], made["test_scores"] = metric, found
        made["test_score_mean"], made["test_score_std"] = statistics.mean(found), deviation(found)
    if also := metrics[0].get("also"):
        made["also"] = derived(accuracies, {w: [m.get("also", {})[w] for m in metrics] for w in also})
    if "head_lr" in best:
        tried = [t["head_lr"] for t in chosen["trials"] if "head_lr" in t]
        made["head_lr"] = best["head_lr"]
        made["head_lr_at_the_end_of_what_was_tried"] = at_an_end(best["head_lr"], tried)
    return made


def measure(work: Sequence[tuple[Comparison, Path, str]], seeds: int, workers: Workers) -> list[Row]:
    """Choose every method's settings, then run and test each with every seed.

    Args:
        work: Comparisons with their folders and a method each.
        seeds: Runs, with seeds 0, 1, ...
        workers: Who does it.

    Returns:
        One row each.
    """
    searches = [Unit(f"{spec} on {c.data}: search", choose, (c, out, spec)) for c, out, spec in work]
    chosen = workers.run(searches)
    finals = [
        Unit(f"{spec} on {c.data}: seed {seed}", final, (c, out, spec, best, seed))
        for (c, out, spec), best in zip(work, chosen)
        for seed in range(seeds)
    ]
    metrics = workers.run(finals)
    return [row(spec, chosen[i], metrics[i * seeds : (i + 1) * seeds]) for i, (_, _, spec) in enumerate(work)]


def compare(
    comparison: Comparison, methods: str | Sequence[str], out: Path, *, seeds: int = 3, workers: Workers | None = None
) -> Compared[Row]:
    """Run a comparison and write its table as table.json, .md, .csv and .tex.

    Started again in the same folder, it goes on where it was stopped; more methods and seeds may be asked for.

    Args:
        comparison: The settings.
        methods: Names, with fields where wanted, as ``spt:prompt_rms=0.1``; in one text, with commas between.
        out: The folder.
        seeds: Runs of each method at its best settings.
        workers: Who does it; one process after the other by default.

    Raises:
        UserError: A method is not to be had, the folder holds another comparison, or from a run.
    """
    methods = read_specs(methods)
    check_methods(comparison, methods)
    with claimed(out):
        open_folder(comparison, out)
        rows = measure([(comparison, out, spec) for spec in methods], seeds, workers or Workers())
        runs = [[folder_of(out, spec) / f"seed-{seed}" for seed in range(seeds)] for spec in methods]
        rows = held_against_best(rows, runs)
    table: Compared[Row] = {
        "protocol": comparison.protocol.hash,
        "dataset": comparison.data,
        "results": rows,
        "precision": all_precisions(rows),
        "settings": comparison.model_dump(mode="json"),
    }
    write_tables(
        out,
        "table",
        table,
        (*COLUMNS[:1], *score_columns(rows), *COLUMNS[1:], *paired_columns(rows), *also_columns(rows)),
        rows,
    )
    return table
