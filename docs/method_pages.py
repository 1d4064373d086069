"""The page of a method, an adaptation or a paper, written from the code.

Nothing here knows a method: records, fields, recipes, docstrings and published numbers are read where they stand, so
that a new method has its page without an edit.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, get_args

from selfprompt import adaptations, backbones, methods, papers
from selfprompt.adaptations.base import Adaptation
from selfprompt.backbones.info import Pretraining
from selfprompt.backbones.load import load_backbone
from selfprompt.cli.flags import help_of
from selfprompt.comparison.beyond import BY
from selfprompt.comparison.published import Published, every
from selfprompt.comparison.published import papers as papers_files
from selfprompt.comparison.suites import SUITES
from selfprompt.data import sources
from selfprompt.methods.base import Method, PromptMethod
from selfprompt.methods.fields import TextFields, TokenFields
from selfprompt.methods.recipe import Recipe
from selfprompt.registry import Record
from selfprompt.runs.config import RunConfig, starting
from selfprompt.runs.presets import PRESETS
from writing import arxiv, bibtex, docstring, fenced, table

ROOT = Path(__file__).parent.parent
SHARED_KINDS = (TextFields, Adaptation)
SHARED = {**TextFields.model_fields, **TokenFields.model_fields}
CALLS = {
    "class_text": (
        "photos/ --backbone open_clip:ViT-B-16/openai",
        '"open_clip:ViT-B-16/openai"',
        "class_names=names",
    ),
    "texts": ("reviews.csv --backbone text:NAME", '"text:NAME"', "class_names=names"),
    "": ("photos/ --backbone vit_base_patch16_224.mae", '"vit_base_patch16_224.mae"', "num_classes=200"),
}
"""What the command and the call of a method are given, by what it needs, on data of one's own."""
SHOWN = ("epochs", "batch_size", "optimizer", "lr", "weight_decay", "head_weight_decay", "warmup")
"""The settings of a recipe that every page shows; others where they are not a recipe's usual ones."""


def fields(factory: Any, shared: Iterable[str] = ()) -> list[str]:
    """The fields that are its own, or whose default is."""
    said = help_of(factory)
    own = {
        name: field
        for name, field in factory.model_fields.items()
        if name not in shared or field.get_default() != SHARED[name].get_default()
    }
    rows = ((f"`{name}`", f"`{field.get_default()!r}`", said.get(name, "")) for name, field in own.items())
    return table(("field", "default", "meaning"), rows) if own else ["", "It has no fields of its own.", ""]


def recipes(method: Method) -> list[str]:
    """Its recipe, for each kind of pretraining that has one of its own, and that of the embedded example."""
    if method.head() == "class_text" and method.trainable() == "head":
        return ["", "Nothing is trained.", ""]
    run = RunConfig.resolve(method=method.name)
    first = run.before()
    by: dict[str, list[str]] = {}
    for kind in get_args(Pretraining):
        by.setdefault(method.recipe(kind).model_dump_json(), []).append(kind)
    columns = {
        "published" if len(by) == 1 else f"published, {', '.join(kinds)}": Recipe.model_validate_json(text)
        for text, kinds in by.items()
    }
    if first is not None:
        (published,) = columns.values()
        again = starting(method, run.method.first_data() or "")
        columns = {"published, first training": published, "published, second": again.recipe("unknown")}
        columns["embedded example, first training"] = first.recipe
    columns["embedded example" + (", second" if first else "")] = run.recipe
    start = Recipe().model_dump()
    settings = [recipe.model_dump() for recipe in columns.values()]
    names = [n for n in start if n in SHOWN or any(own[n] != start[n] for own in settings)]
    rows = ((f"`{n}`", *(said(own[n]) for own in settings)) for n in names)
    lines = table(("setting", *columns), rows)
    if method.grid:
        rates, decays = (", ".join(f"{x:g}" for x in values) for values in (method.grid.lr, method.grid.weight_decay))
        base = " (base rates, times batch / 256)" if method.grid.base else ""
        lines += [f"The paper searches rates of {rates}{base} and weight decays of {decays}.", ""]
    return [*lines, *embedded(method, run)]


def measured(backbone: str) -> list[str]:
    """Where our own numbers stand."""
    page = {"builtin-clip": "images-and-words", "builtin-text": "few-shot-texts"}.get(backbone, "results")
    return [f"What we have measured, in miniature: [](../{page}.md).", ""]


def embedded(method: Method, run: RunConfig) -> list[str]:
    """What the embedded example sets besides its recipe."""
    preset = PRESETS[run.backbone]
    fields = {name: value for name, value in preset["fields"].items() if name in type(method).model_fields}
    protocol = {name: value for name, value in preset["protocol"].items() if name != "name"}
    told = ", ".join(f"`{name}={value!r}`" for name, value in (fields | protocol).items())
    kept = " and ".join({"fields": "fields", "rates": "rate"}[what] for what in preset.get("anywhere", ()))
    there = f" (on `{run.backbone}` with these {kept})" if kept else ""
    command = f"selfprompt tune --method {method.name}"
    lines = [
        f"The embedded example is `{command}`: `{run.data}` on `{run.backbone}`, {told}. On other data the recipe is",
        f"the published one{there}. Where the published column is not the paper's, it is said above.",
    ]
    if method.rates:
        rates = ", ".join(f"`{settings}` {rate:g}" for settings, rate in method.rates.items())
        lines += [f"Rates that searches on validation data ended at, or begin with (`Method.rates`): {rates}."]
    return [*lines, ""]


def said(value: Any) -> str:
    """A setting's value; rates without the last digits of a division."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def answers(method: Method) -> Iterator[tuple[str, Any]]:
    """The questions that it answers, and with what."""
    model = load_backbone("builtin-text" if method.texts else "builtin")
    towers = [method.part(role) for role in ("inputs", "classes")]
    met = {}
    for role, part in zip(("inputs", "classes"), towers):
        if isinstance(part, PromptMethod):
            made = part.insertion(model) if role == "inputs" else part.text_insertion(model, 3)
            met[type(made)] = made
            if start := part.initialization():
                yield "Where do prompts start?", type(start)
    for kind, made in met.items():
        if parametrization := getattr(made, "parametrization", None):
            yield "What are they made of?", type(parametrization)
        yield "How do they meet the tokens?", kind
    if kept := method.condensation():
        yield "Which are kept?", type(kept)
    for penalty in method.penalties():
        yield "What moves them?", type(penalty)
    for stage in method.stages(method.recipe("unknown")):
        yield "How, and when?", type(stage.rule)


def numbers(name: str, adaptation: bool = False) -> list[str]:
    """What papers report of a method, or of methods under an adaptation: a table for each benchmark, its sources."""
    lines: list[str] = []
    origins: dict[str, int] = {}
    benchmarks = dict.fromkeys((*SUITES, *(row.benchmark for _, row in every())))
    for benchmark in benchmarks:
        found = [(spec, row) for spec, row in every() if row.benchmark == benchmark]
        if adaptation:
            found = [(spec, row) for spec, row in found if any(place.endswith(BY + name) for place in row.numbers)]
            under = ["", BY + name]
        else:
            found = [(spec, row) for spec, row in found if spec.partition(":")[0] == name]
            under = [""]
        groups = next(iter(SUITES[benchmark].values())).groups if benchmark in SUITES else {}
        tasks = {task for group in groups.values() for task in group}
        places = dict.fromkeys(place.partition(BY)[0] for _, row in found for place in row.numbers)
        columns = {**groups, **{place: () for place in places if place not in tasks and place not in groups}}
        rows = []
        for spec, row in found:
            for how in under:
                means = [row.group(place + how, [*tasks]) for place, tasks in columns.items()]
                if any(mean is not None for mean in means):
                    cells = ("" if mean is None else f"{mean:.1f}" for mean in means)
                    number = origins.setdefault(origin(row), len(origins) + 1)
                    known = f", {row.pretraining}" if row.pretraining != "unknown" else ""
                    rows.append((f"`{spec}`{how}", f"{row.architecture or 'ViT-B'}{known}", *cells, f"({number})"))
        shown = [column for i, column in enumerate(columns) if any(row[2 + i] for row in rows)]
        kept = [i for i, column in enumerate(columns) if column in shown]
        if rows:
            head = ("method", "backbone", *(place.removeprefix(f"{benchmark}/") for place in shown), "source")
            lines += [f"**{benchmark}**", *table(head, ((*r[:2], *(r[2 + i] for i in kept), r[-1]) for r in rows))]
    return [*lines, *(f"{number}. {where}" for where, number in origins.items()), ""]


def origin(row: Published) -> str:
    """Where a row stands, and how its runs chose what they report."""
    mark = ", not seen in the paper itself" if row.unverified else ""
    metric = "" if row.metric == "top-1 accuracy" else f" Numbers: {row.metric}."
    return f"{row.source}, table {row.table.removeprefix('Table ')}{mark}. Selection: {row.selection}.{metric}"


def reported(record: Record, adaptation: bool = False) -> list[str]:
    """What papers report, or why nothing stands here."""
    lines = numbers(record.name, adaptation)
    none = papers_files()[record.paper].get("none", "") if record.paper else ""
    if len(lines) == 1 and not none:
        return []
    heading = ["## Published numbers", ""]
    if len(lines) == 1:
        return [*heading, none, ""]
    about = "In %: top-1 accuracy where nothing else is said; means of each group's tasks."
    return [*heading, " ".join(filter(None, (about, none))), "", *lines]


def head(record: Record) -> list[str]:
    """Name, paper and idea."""
    paper = record.source
    lines = [f"# `{record.name}`: {paper.title if paper else record.idea.rstrip('.')}", ""]
    return (
        [*lines, f"{paper.authors}, {paper.venue} {paper.year}, arXiv {arxiv(paper)}", "", record.idea]
        if paper
        else lines
    )


def citation(record: Record) -> list[str]:
    return ["## Citation", *fenced("bibtex", bibtex(str(record.paper), record.source))] if record.source else []


def sources_of(factory: type) -> list[str]:
    """Its file, and those of the methods that it is made from."""
    kinds = [kind for kind in factory.__mro__ if kind.__module__.startswith("selfprompt.")]
    shared = {inspect.getsourcefile(kind) for kind in (Method, *SHARED_KINDS)}
    files = dict.fromkeys(file for kind in kinds if (file := inspect.getsourcefile(kind)) not in shared)
    own, *others = (f"`{Path(file or '').relative_to(ROOT)}`" for file in files)
    return [f"Code: {own}" + (f"; it is made from {', '.join(others)}" if others else "") + ".", ""]


def of_method(record: Record) -> list[str]:
    factory = record.factory
    method = methods.make_method(record.name)
    data, name, classes = CALLS["texts" if method.texts else method.head() if method.head() == "class_text" else ""]
    run = RunConfig.resolve(method=record.name)
    lines = [*head(record), "", *sources_of(factory)]
    needed = [extra for extra in (record.extra, backbones.RECORDS[run.backbone].extra) if extra]
    extras = f" (extra `{','.join(needed)}`)" if needed else ""
    lines += [f"Offline, on `{run.data}` and `{run.backbone}`, which the package brings{extras}:"]
    lines += fenced("console", f"$ selfprompt tune --method {record.name}")
    lines += ["On data of your own:"]
    lines += fenced("console", f"$ selfprompt tune {data} --method {record.name}")
    lines += fenced("python", f'model = sp.create_model({name}, method="{record.name}", {classes})')
    lines += ["## What is built, and what differs from the paper", *docstring(factory)]
    lines += ["## Fields", *fields(factory, SHARED)]
    lines += ["The fields that it shares with other methods are those of `selfprompt tune`: [](cli/tune).", ""]
    lines += ["## Recipe", *recipes(method), *reported(record), *measured(run.backbone)]
    if answered := [*dict.fromkeys(answers(method))]:
        lines += [
            "## Its parts",
            "",
            "The files that answer its questions, formulas and all; each combines with others, and names the paper",
            "that it is from, which may be another than this page's.",
        ]
        for question, kind in answered:
            place = inspect.getsourcefile(kind) or ""
            lines += [
                "",
                f"### {question} `{kind.__name__}`",
                "",
                f"`{Path(place).relative_to(ROOT)}`",
                *docstring(kind),
            ]
    return [*lines, *citation(record)]


def of_adaptation(record: Record) -> list[str]:
    lines = [*head(record), "", *sources_of(record.factory)]
    lines += fenced("console", f"$ selfprompt evaluate RUN DATA --adapt {record.name}")
    lines += ["## What is built, and what differs from the paper", *docstring(record.factory)]
    lines += ["## Fields", *fields(record.factory), *reported(record, adaptation=True)]
    lines += measured("builtin-clip")
    return [*lines, *citation(record)]


def index() -> list[str]:
    """Every paper, and where it is built."""
    own = {**methods.RECORDS, **adaptations.RECORDS}
    rows = ((f"[`{r.name}`](method-{r.name}.md)", r.idea, arxiv(r.source) if r.source else "") for r in own.values())
    lines = [
        "# Methods and papers",
        "",
        "One page each, written from the code.",
        *table(("name", "idea", "arXiv"), rows),
    ]
    every = {**own, **backbones.RECORDS, **sources.RECORDS}
    cited = {key: [r.name for r in every.values() if r.paper == key] for key in papers.PAPERS}
    listed = sorted(papers.PAPERS.items(), key=lambda item: item[1].arxiv)
    lines += [
        "## By paper",
        *table(
            ("paper", "arXiv", "here"),
            (
                (
                    f"{p.title} ({p.authors}, {p.venue} {p.year})",
                    arxiv(p),
                    ", ".join(f"[`{n}`](method-{n}.md)" if n in own else f"`{n}`" for n in cited[key])
                    or "see the docstrings",
                )
                for key, p in listed
            ),
        ),
    ]
    toc = "\n".join([":hidden:", "", *(f"method-{name}" for name in own)])
    return [*lines, *fenced("{toctree}", toc)]
