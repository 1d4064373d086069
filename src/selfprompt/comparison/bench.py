"""A benchmark: a comparison on each of its tasks, and the table over all of them."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, NotRequired

from typing_extensions import TypedDict

from selfprompt.backbones import RECORDS
from selfprompt.backbones.load import info
from selfprompt.comparison import first as first_runs
from selfprompt.comparison.beyond import also_text, derived
from selfprompt.comparison.compare import Comparison, check_methods, measure, open_folder, protocol_of
from selfprompt.comparison.published import Published, published
from selfprompt.comparison.rows import COLUMNS, Measured, Row, accuracy, method
from selfprompt.comparison.suites import Suite
from selfprompt.comparison.workers import Workers
from selfprompt.data.sources import NAME, load_located, names
from selfprompt.errors import UserError
from selfprompt.files import claimed, replace_file
from selfprompt.methods import read_specs
from selfprompt.methods.full import Full
from selfprompt.reports.table import Benched, Column, OfData, all_precisions, markdown, spread, write_tables


class Spread(TypedDict):
    """Mean and deviation over seeds."""

    mean: float
    std: float


class Summary(Measured):
    """A method over all tasks of a benchmark."""

    mean_of_groups: float
    groups: dict[str, Spread]
    tasks: dict[str, Row]
    tasks_above_full: NotRequired[int]
    published: NotRequired[list[dict[str, Any]]]


def task_of(suite: Suite, data: str, backbone: str | None = None, **changes: Any) -> Comparison:
    """The comparison that a suite makes on one data set.

    Args:
        suite: The benchmark.
        data: The data set.
        backbone: If not the suite's own.
        **changes: Dictionaries ``protocol``, ``recipe`` and ``fields`` that beat the suite's; ``search``; ``trials``;
            ``further_trials``.
    """
    backbone = backbone or suite.backbone
    own = {"template": suite.texts[data]} if data in suite.texts else {}
    return Comparison(
        data=NAME + data if data in names() and Path(data).is_dir() else data,
        backbone=backbone,
        protocol=protocol_of(backbone, **(suite.protocol | changes.pop("protocol", {}))),
        recipe=suite.recipe | changes.pop("recipe", {}),
        fields=suite.fields | own | changes.pop("fields", {}),
        rates=suite.rates,
        trials=changes.pop("trials", suite.trials),
        also=suite.also,
        adapt=suite.adapt,
        **changes,
    )


def seen_in_pretraining(backbone: str, data: str) -> bool:
    """Whether a packaged backbone was pretrained on a data set's images or texts, as its record says."""
    record = RECORDS.get(backbone)
    return record is not None and data in record.pretrained_on


def bench(
    suite: Suite,
    methods: str | Sequence[str],
    out: Path,
    *,
    backbone: str | None = None,
    seeds: int = 3,
    workers: Workers | None = None,
    **changes: Any,
) -> Benched[Summary]:
    """Run a benchmark and write its tables: table.json, .md, .csv and .tex, method by group, and tasks.md.

    Started again in the same folder, it goes on where it was stopped. Every task's own comparison stands in a folder
    of its own.

    Args:
        suite: The benchmark.
        methods: Names, with fields where wanted; in one text, with commas between.
        out: The folder.
        backbone: If not the suite's own.
        seeds: Runs of each method on each task at its best settings.
        workers: Who does it; one process after the other by default.
        **changes: See `task_of`.

    Raises:
        UserError: As `compare` does.
    """
    tasks: dict[str, Comparison] = {}
    for data in (data for group in suite.groups.values() for data in group):
        try:
            load_located(data)
        except UserError:
            if data not in suite.optional:
                raise
            continue
        tasks[data] = task_of(suite, data, backbone, starts=first_runs.folders(suite, out), **changes)
    first = next(iter(tasks.values()))
    methods = read_specs(methods)
    check_methods(first, methods)
    folders = {data: out / data.replace("/", "-") for data in tasks}
    order = [(spec, data) for spec in methods for data in tasks]
    work = [(tasks[data], folders[data], spec) for spec, data in order]
    workers = workers or Workers()
    with claimed(out):
        for data, comparison in tasks.items():
            open_folder(comparison, folders[data])
        first_runs.make(suite, methods, out, first.backbone, first.fields, workers)
        measured = dict(zip(order, measure(work, seeds, workers)))
    for data, comparison in tasks.items():
        rows = [measured[spec, data] for spec in methods]
        one: OfData[Row] = {
            "protocol": comparison.protocol.hash,
            "dataset": data,
            "results": rows,
            "precision": all_precisions(rows),
        }
        write_tables(folders[data], "table", one, COLUMNS, rows)

    marked = [data for data in tasks if seen_in_pretraining(first.backbone, data)]
    groups = {name: [d for d in listed if d in tasks] for name, listed in suite.groups.items()}
    counted = {name: left for name, listed in groups.items() if (left := [d for d in listed if d not in marked])}
    results = [summary(spec, {d: measured[spec, d] for d in tasks}, counted) for spec in methods]
    unseen = [data for listed in counted.values() for data in listed]
    if full := next((r for r in results if r["method"] == Full.name), None):
        for result in results:
            result["tasks_above_full"] = sum(
                result["tasks"][d]["test_accuracy_mean"] > full["tasks"][d]["test_accuracy_mean"] for d in unseen
            )
    known = info(first.backbone, first.protocol.side)
    rows = published(suite.name, known.pretraining, known.architecture)
    for result in results:
        result["published"] = [asdict(row) for row in rows.get(result["method"], [])]
    table: Benched[Summary] = {
        "protocol": first.protocol.hash,
        "benchmark": suite.name,
        "backbone": first.backbone,
        "precision": all_precisions(results),
        "seen_in_pretraining": marked,
        "results": results,
        "settings": first.model_dump(mode="json", exclude={"data"}),
    }
    also = dict.fromkeys(what for result in results for what in result.get("also", {}))
    columns = group_columns(counted, Full.name in methods, len(unseen), rows, tuple(also))
    write_tables(out, "table", table, columns, results)
    replace_file(out / "tasks.md", markdown(task_columns(groups, marked), results))
    return table


def summary(spec: str, rows: dict[str, Row], counted: dict[str, list[str]]) -> Summary:
    """One method over all tasks. Tasks whose images the backbone was pretrained on are not among those counted."""
    seeds = min(row["seeds"] for row in rows.values())

    def over(listed: list[str]) -> Spread:
        by_seed = [statistics.mean(rows[d]["test_accuracies"][seed] for d in listed) for seed in range(seeds)]
        return {"mean": statistics.mean(by_seed), "std": statistics.stdev(by_seed) if seeds > 1 else 0.0}

    unseen = [d for listed in counted.values() for d in listed]
    everything = over(unseen)
    means = {name: over(listed) for name, listed in counted.items()}
    made: Summary = {
        "method": spec,
        "test_accuracy_mean": everything["mean"],
        "test_accuracy_std": everything["std"],
        "mean_of_groups": statistics.mean(group["mean"] for group in means.values()),
        "groups": means,
        "seeds": seeds,
        "trainable_parameters": round(statistics.mean(row["trainable_parameters"] for row in rows.values())),
        "seconds": statistics.mean(row["seconds"] for row in rows.values()),
        "peak_memory_bytes": max(row["peak_memory_bytes"] for row in rows.values()),
        "readout": next(iter(rows.values()))["readout"],
        "precision": all_precisions(list(rows.values())),
        "budget": max(row["budget"] for row in rows.values()),
        "tasks": rows,
    }
    if asked := [*rows[unseen[0]].get("also", {})]:
        each = {what: [rows[d].get("also", {})[what] for d in unseen] for what in asked}
        by_seed = {what: [statistics.mean(own) for own in zip(*lists)] for what, lists in each.items()}
        old = [statistics.mean(own) for own in zip(*(rows[d]["test_accuracies"] for d in unseen))]
        made["also"] = derived(old, by_seed)
    return made


def group_columns(
    groups: dict[str, list[str]],
    full: bool,
    tasks: int,
    rows: dict[str, list[Published]],
    also: Sequence[str] = (),
) -> list[Column[Summary]]:
    """Method by group of tasks, and what else was asked, beside what papers report."""

    def group(name: str) -> Column[Summary]:
        return Column(name, lambda r: spread(r["groups"][name]["mean"], r["groups"][name]["std"], r["seeds"]))

    def reported(name: str) -> Column[Summary]:
        def text(r: Summary) -> str:
            found = [(row, row.group(name, groups.get(name, []))) for row in rows.get(r["method"], [])]
            own = r.get("also", {}).get(name, [])
            measured = r["groups"][name]["mean"] if name in groups else statistics.mean(own or [0.0])
            return "; ".join(
                f"{number:.1f} ({measured - number:+.1f}; {row.label}{', unverified' if row.unverified else ''})"
                for row, number in found
                if number is not None and (own or name in groups)
            )

        return Column(f"{name}, published (measured minus published; source)", text)

    columns: list[Column[Summary]] = [Column("method", method)]
    for name in groups:
        columns += [group(name), reported(name)] if rows else [group(name)]
    for name in also:
        own: Column[Summary] = Column(name, partial(also_text, name))
        columns += [own, reported(name)] if rows else [own]
    columns.append(Column("mean of groups", lambda r: f"{r['mean_of_groups']:.1f}"))
    columns.append(Column("mean of tasks", accuracy))
    if full:
        columns.append(Column("above full", lambda r: f"{r.get('tasks_above_full')} of {tasks}"))
    columns.append(Column("trained parameters", lambda r: f"{r['trainable_parameters']:,}"))
    columns.append(Column("seconds", lambda r: f"{r['seconds']:.0f}"))
    columns.append(Column("readout", lambda r: r["readout"]))
    columns.append(Column("precision", lambda r: r["precision"]))
    return columns


def task_columns(groups: dict[str, list[str]], marked: list[str]) -> list[Column[Summary]]:
    """Method by task; a dagger marks images that the backbone was pretrained on."""

    def task(data: str) -> Column[Summary]:
        mark = " †" if data in marked else ""
        return Column(
            data + mark,
            lambda r: accuracy(r["tasks"][data]),
        )

    return [Column("method", lambda r: r["method"]), *(task(d) for listed in groups.values() for d in listed)]
