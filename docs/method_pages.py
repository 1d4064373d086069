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
from selfprompt.backbones.info import Pretraining
from selfprompt.backbones.load import load_backbone
from selfprompt.cli.flags import help_of
from selfprompt.comparison.published import published
from selfprompt.comparison.suites import SUITES
from selfprompt.data import sources
from selfprompt.methods.base import Method, PromptMethod
from selfprompt.methods.fields import TextFields, TokenFields
from selfprompt.methods.recipe import Recipe
from selfprompt.registry import Record
from writing import arxiv, bibtex, docstring, fenced, table

ROOT = Path(__file__).parent.parent
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
"""What the command and the call of a method are given, by what it needs."""


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
    """Its recipe, for each kind of pretraining that has one of its own."""
    by: dict[str, list[str]] = {}
    for kind in get_args(Pretraining):
        by.setdefault(method.recipe(kind).model_dump_json(), []).append(kind)
    kinds = [[*recipe] for recipe in by.values()]
    settings = [Recipe.model_validate_json(text).model_dump() for text in by]
    start = Recipe().model_dump()
    shown = ("epochs", "batch_size", "optimizer", "lr", "weight_decay", "head_weight_decay", "warmup")
    names = [n for n in start if n in shown or any(own[n] != start[n] for own in settings)]
    head = ["whatever the pretraining"] if len(by) == 1 else [", ".join(own) for own in kinds]
    lines = table(("setting", *head), ((f"`{n}`", *(own[n] for own in settings)) for n in names))
    if method.grid:
        rates, decays = (", ".join(f"{x:g}" for x in values) for values in (method.grid.lr, method.grid.weight_decay))
        base = " (base rates, times batch / 256)" if method.grid.base else ""
        lines += [f"The paper searches rates of {rates}{base} and weight decays of {decays}.", ""]
    return lines


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


def numbers(name: str) -> list[str]:
    """What papers report of a method: a table for each benchmark, and where its rows are from."""
    lines: list[str] = []
    origins: dict[str, int] = {}
    for benchmark, presets in SUITES.items():
        groups = next(iter(presets.values())).groups
        rows = []
        for kind in get_args(Pretraining):
            for spec, found in published(benchmark, kind, "ViT-B-16").items():
                for row in found if spec.partition(":")[0] == name else ():
                    means = [row.group(group, [*tasks]) for group, tasks in groups.items()]
                    if any(mean is not None for mean in means):
                        mark = ", not seen in the paper itself" if row.unverified else ""
                        place = f"table {row.table.removeprefix('Table ')}{mark}"
                        where = f"{row.source}, {place}. Selection: {row.selection}."
                        number = origins.setdefault(where, len(origins) + 1)
                        cells = ("" if mean is None else f"{mean:.1f}" for mean in means)
                        rows.append((f"`{spec}`", kind, *cells, f"({number})"))
        if rows:
            lines += [f"**{benchmark}**", *table(("method", "pretraining", *groups, "source"), rows)]
    return [*lines, *(f"{number}. {where}" for where, number in origins.items()), ""]


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


def of_method(record: Record) -> list[str]:
    factory = record.factory
    method = methods.make_method(record.name)
    data, name, classes = CALLS["texts" if method.texts else method.head() if method.head() == "class_text" else ""]
    lines = [*head(record), *fenced("console", f"$ selfprompt tune {data} --method {record.name}")]
    lines += fenced("python", f'model = sp.create_model({name}, method="{record.name}", {classes})')
    if method.packaged != "builtin" or method.texts:
        offline = f"--backbone {'builtin-text' if method.texts else method.packaged}"
        lines += [f"Without DATA and with `{offline}` it runs offline, on what the package brings.", ""]
    lines += ["## What is built, and what differs from the paper", *docstring(factory)]
    lines += ["## Fields", *fields(factory, SHARED)]
    lines += ["The fields that it shares with other methods are those of `selfprompt tune`: [](cli/tune).", ""]
    lines += ["## Recipe", *recipes(method)]
    if len(reported := numbers(record.name)) > 1:
        lines += [
            "## Published numbers",
            "",
            "Top-1 accuracy in %, of a ViT-B: means of each group's tasks.",
            "",
            *reported,
        ]
    if answered := [*dict.fromkeys(answers(method))]:
        lines += [
            "## Its parts",
            "",
            "The files that answer its questions, formulas and all; each combines with others.",
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
    lines = [*head(record), *fenced("console", f"$ selfprompt evaluate RUN DATA --adapt {record.name}")]
    lines += ["## What is built, and what differs from the paper", *docstring(record.factory)]
    return [*lines, "## Fields", *fields(record.factory), *citation(record)]


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
