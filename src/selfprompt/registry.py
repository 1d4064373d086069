"""What there is: one frozen record a file, found by walking the folders; no list is kept by hand.

A file that answers one of the six questions, holds a paper's method, or brings a data set or a packaged
backbone exports ``RECORD``. Listings, help, documentation and the contract tests read the same records.
"""

from __future__ import annotations

import importlib
import pkgutil
from dataclasses import dataclass
from functools import lru_cache
from types import ModuleType
from typing import Any, Literal

from pydantic import ValidationError

from selfprompt.errors import UserError, unknown

Kind = Literal["method", "initialization", "parametrization", "insertion", "condensation", "dataset", "backbone"]

HOMES: dict[Kind, str] = {
    "method": "selfprompt.methods",
    "initialization": "selfprompt.prompts.initialization",
    "parametrization": "selfprompt.prompts.parametrization",
    "insertion": "selfprompt.prompts.insertion",
    "condensation": "selfprompt.prompts.condensation",
    "dataset": "selfprompt.data.sources",
    "backbone": "selfprompt.backbones",
}


@dataclass(frozen=True)
class Record:
    """What a listing says of one entry.

    Args:
        name: The name by which users ask for it.
        kind: The room it stands in.
        title: The paper's (or data set's) title.
        idea: One sentence.
        arxiv: arXiv number of the paper, if it has one.
        url: Where to read more, if not arXiv.
        year: Year of publication.
        supports: What it can do or needs, in a few words each.
        factory: The class that answers to the name, where there is one.
    """

    name: str
    kind: Kind
    title: str
    idea: str
    arxiv: str | None = None
    url: str | None = None
    year: int | None = None
    supports: tuple[str, ...] = ()
    factory: Any = None


@lru_cache
def modules(kind: Kind) -> dict[str, ModuleType]:
    """The modules of that kind by record name, in the order of their names."""
    package = importlib.import_module(HOMES[kind])
    found = {}
    for info in pkgutil.iter_modules(package.__path__):
        module = importlib.import_module(f"{HOMES[kind]}.{info.name}")
        record = getattr(module, "RECORD", None)
        if isinstance(record, Record) and record.kind == kind:
            found[record.name] = module
    return dict(sorted(found.items()))


def names(kind: Kind) -> list[str]:
    """The names of that kind, sorted."""
    return list(modules(kind))


def module(kind: Kind, name: str) -> ModuleType:
    """The module of that name.

    Raises:
        UserError: No such name; the message offers the nearest ones.
    """
    if name not in modules(kind):
        raise unknown(kind, name, modules(kind))
    return modules(kind)[name]


def build(kind: Kind, description: dict[str, Any]) -> Any:
    """The object that a description ``{"name": ..., field: value, ...}`` stands for.

    Raises:
        UserError: No such name, or a field is unknown or out of range.
    """
    name = description.get("name", "")
    fields = {k: v for k, v in description.items() if k != "name"}
    try:
        return module(kind, name).RECORD.factory(**fields)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            have = [n for n, m in modules(kind).items() if where in getattr(m.RECORD.factory, "model_fields", {})]
            known = f"{', '.join(have)} {'has' if len(have) == 1 else 'have'} it" if have else "nor does any other"
            raise UserError(f"{kind.capitalize()} {name} has no {where}: {known}.") from None
        raise UserError(
            f"{kind.capitalize()} {name} does not take {where}={first['input']!r}: {first['msg']}."
        ) from None


def describe(name: str) -> Record:
    """The record of a name of any kind.

    Raises:
        UserError: No such name.
    """
    everything: dict[str, Record] = {}
    for kind in HOMES:
        everything.update({n: m.RECORD for n, m in modules(kind).items()})
    if name not in everything:
        raise unknown("method, data set or backbone", name, everything)
    return everything[name]
