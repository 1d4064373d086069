"""What a package offers: one record a file, found by reading the files; no list is kept by hand.

A file that holds a paper's method, or brings a data set or a packaged backbone, has a literal
``RECORD = Record(...)``. It is read without running the file, so that a listing imports nothing; the module is
imported when it is first wanted. This is the only file of the library that imports by name.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from selfprompt.errors import UserError, unknown
from selfprompt.papers import PAPERS, Paper


@dataclass(frozen=True)
class Record:
    """What a listing says of one entry.

    Args:
        name: The name by which users ask for it.
        idea: One sentence.
        paper: Key of its paper in `PAPERS`, if it has one.
        title, url, year: Of a data set or backbone that has no paper here.
        parts: Questions that a data set asks of its images, for NAME/PART; ``""`` stands for NAME alone.
        extra: The extra that must be installed.
        debian: The Debian package that must be installed.
        on_disk: Whether it is looked for on disk.
        inputs: What a data set has, ``image`` or ``text``.
        compared: A method's place in the comparison that is made where none are named, from 1; 0 leaves it out.
        variants: Fields with which a benchmark runs it besides, such as ``frozen_prompts=true``.
        pretrained_on: Data sets whose images, or texts, a backbone was pretrained on.
        entry: What of its module answers to the name.
        module: Its module's name (filled in by `walk`).
    """

    name: str
    idea: str
    paper: str | None = None
    title: str = ""
    url: str | None = None
    year: int | None = None
    parts: tuple[str, ...] = ("",)
    extra: str | None = None
    debian: str | None = None
    on_disk: bool = False
    inputs: Literal["image", "text"] = "image"
    compared: int = 0
    variants: tuple[str, ...] = ()
    pretrained_on: tuple[str, ...] = ()
    entry: str = "load"
    module: str = ""

    @property
    def source(self) -> Paper | None:
        """Its paper."""
        return None if self.paper is None else PAPERS[self.paper]

    @property
    def brought(self) -> bool:
        """Whether the package brings all that it needs."""
        return not (self.extra or self.debian or self.on_disk)

    @property
    def names(self) -> list[str]:
        """NAME, or NAME/PART for each of its parts."""
        return [f"{self.name}/{part}" if part else self.name for part in self.parts]

    @property
    def factory(self) -> Any:
        """The class, or function, that answers to the name; its module is imported."""
        return getattr(importlib.import_module(self.module), self.entry)


@lru_cache
def walk(package: str) -> Mapping[str, Record]:
    """The records of a package's modules by name, sorted; no module is imported."""
    home = importlib.util.find_spec(package)
    assert home is not None
    found = {}
    for info in pkgutil.iter_modules(home.submodule_search_locations):
        spec: Any = info.module_finder.find_spec(info.name, None)  # type: ignore[call-arg]
        if record := read_record(spec.loader.get_source(info.name) or ""):
            found[record.name] = replace(record, module=f"{package}.{info.name}")
    return MappingProxyType(dict(sorted(found.items())))


def read_record(source: str) -> Record | None:
    """The literal RECORD of a module's source, if it has one."""
    for node in ast.parse(source).body if "RECORD = Record(" in source else ():
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "RECORD":
            assert isinstance(node.value, ast.Call)
            return Record(**{str(k.arg): ast.literal_eval(k.value) for k in node.value.keywords})
    return None


def make(kind: str, name: str, records: Mapping[str, Record], fields: Mapping[str, Any]) -> Any:
    """What answers to a name, with fields, where it is a pydantic model.

    Args:
        kind: What the records are of, in a word.
        name, records, fields: Which, among which, and with what.

    Raises:
        UserError: There is none of the name, or a field is unknown or out of range.
    """
    from pydantic import ValidationError  # not before something is made: listings do without

    if name not in records:
        raise unknown(kind, name, records)
    try:
        return records[name].factory(**fields)
    except ValidationError as error:
        first, kind = error.errors()[0], kind.capitalize()
        where = ".".join(str(part) for part in first["loc"])
        if first["type"] != "extra_forbidden":
            raise UserError(f"{kind} {name} does not take {where}={first['input']!r}: {first['msg']}.") from None
        have = [other for other, record in records.items() if where in record.factory.model_fields]
        known = f"{', '.join(have)} {'has' if len(have) == 1 else 'have'} it" if have else "nor does any other"
        raise UserError(f"{kind} {name} has no {where}: {known}.") from None


def installed(module: str) -> bool:
    """Whether a module can be imported."""
    return importlib.util.find_spec(module) is not None


def folder_of(module: str) -> Path:
    """Where an installed package lies; it is not imported."""
    spec = importlib.util.find_spec(module)
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return Path(spec.submodule_search_locations[0])


def version(package: str) -> str:
    """The version of an installed package."""
    import importlib.metadata  # it takes a tenth of the time that a listing takes

    return importlib.metadata.version(package)
