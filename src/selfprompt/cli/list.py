"""``selfprompt list methods|adaptations|backbones|datasets``."""

from __future__ import annotations

from typing import Literal

from selfprompt import adaptations, backbones, catalog, methods
from selfprompt.cli.console import emit
from selfprompt.cli.values import Seed
from selfprompt.data import sources
from selfprompt.registry import Record

KINDS = {
    "methods": (catalog.list_methods, methods.RECORDS),
    "adaptations": (catalog.list_adaptations, adaptations.RECORDS),
    "backbones": (catalog.list_backbones, backbones.RECORDS),
    "datasets": (catalog.list_datasets, sources.RECORDS),
}


def command(
    what: Literal["methods", "adaptations", "backbones", "datasets"], *, seed: Seed = 0, json: bool = False
) -> None:
    """Available methods, adaptations at test time, backbones or data sets.

    Args:
        what: What to list.
        seed: Has no effect here; every command takes it.
        json: Print one JSON object with the names.
    """
    find, records = KINDS[what]
    names = find()
    own = {name: record for record in records.values() for name in record.names}
    lines = [describe(name, own[name]) if name in own else name for name in names]
    emit({"names": names}, json, "\n".join(lines))


def describe(name: str, record: Record) -> str:
    """One line: name, year, idea, and where to read more."""
    paper = record.source
    year = paper.year if paper else record.year
    where = f" arXiv {paper.arxiv}" if paper else f" {record.url}" if record.url else ""
    return f"{name:20}{f' ({year})' if year else '':7} {record.idea}{where}"
