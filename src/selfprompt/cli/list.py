"""``selfprompt list methods|backbones|datasets``."""

from __future__ import annotations

from typing import Literal

from selfprompt import listing, registry
from selfprompt.cli.console import report

KINDS = {
    "methods": listing.list_methods,
    "backbones": listing.list_backbones,
    "datasets": listing.list_datasets,
}


def command(what: Literal["methods", "backbones", "datasets"], *, seed: int = 0, json: bool = False) -> None:
    """What there is.

    Args:
        what: Which listing.
        seed: Nothing is drawn here; every command takes it.
        json: Print one JSON object with the names.
    """
    names = KINDS[what]()
    own = registry.modules(what[:-1])  # type: ignore[arg-type]
    first = {name: name.partition("/")[0] if what == "datasets" else name for name in names}
    lines = [describe(name, own[first[name]].RECORD) if first[name] in own else name for name in names]
    report({"names": names}, json, "\n".join(lines))


def describe(name: str, record: registry.Record) -> str:
    """One line: name, year, idea, and where to read more."""
    year = f" ({record.year})" if record.year else ""
    where = f" arXiv {record.arxiv}" if record.arxiv else f" {record.url}" if record.url else ""
    return f"{name:20}{year:7} {record.idea}{where}"
