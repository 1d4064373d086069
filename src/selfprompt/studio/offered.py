"""What the studio may read: what the command line named, and what stands below OUT. Pages know it by names alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from fastapi import HTTPException

from selfprompt.adapters.format import CONFIG_NAME
from selfprompt.data import sources
from selfprompt.data.sources import locate
from selfprompt.errors import UserError
from selfprompt.runs.config import NAME as RUN
from selfprompt.runs.presets import PRESETS
from selfprompt.studio.work import BEGUN

T = TypeVar("T")

MARKS = (RUN, BEGUN, CONFIG_NAME)
DEPTH = 4  # folders between OUT and a run of a comparison below it
EMBEDDED = "builtin"


@dataclass(frozen=True)
class Data:
    """A data set that may be read.

    Args:
        name: In addresses.
        words: How a command is given it; the embedded one is what `selfprompt tune` takes by itself.
        located: What `locate` makes of it.
    """

    name: str
    words: tuple[str, ...]
    located: str


@dataclass(frozen=True)
class Offered:
    """Data, and folders of runs and adapters.

    Args:
        out: Where new runs go, and old ones are looked for.
        data: By name.
        single: Runs and adapters that were named, by name.
        places: Further folders in which runs and adapters are looked for.
        backbones: Those that a run may use beside the packaged ones.
    """

    out: Path
    data: dict[str, Data] = field(default_factory=dict)
    single: dict[str, Path] = field(default_factory=dict)
    places: list[Path] = field(default_factory=list)
    backbones: tuple[str, ...] = ()

    def folders(self) -> dict[str, Path]:
        """Runs and adapters that are there now, by name."""
        found = dict(self.single)
        for place in (self.out, *self.places):
            for parts, path in below(place, DEPTH):
                found.setdefault("~".join(parts), path)
        return found

    def folder(self, name: str) -> Path:
        """A run or an adapter.

        Raises:
            HTTPException: There is none of that name.
        """
        return of(self.folders(), name, "run or adapter")

    def must_have(self, backbone: str) -> None:
        """Let a backbone be read that has a name, or was named as a file.

        Raises:
            UserError: It is a file that was not named.
        """
        if backbone not in self.backbones and Path(backbone.partition(":")[2] or backbone).exists():
            raise UserError(f"The backbone {backbone} was not offered: give --backbone {backbone}, too.")

    def data_of(self, located: str) -> Data | None:
        """The data set that a run was made with, where it may be read: it was named, or is in the package."""
        for one in self.data.values():
            if one.located == located:
                return one
        record = sources.RECORDS.get(located.partition("/")[0])
        packaged = record is not None and record.brought and located in record.names
        return Data(located, (located,), located) if packaged else None


def offered(given: Sequence[str], out: Path, backbones: Sequence[str] = ()) -> Offered:
    """What a command line offers: data, runs, adapters, and folders of these; with nothing, the embedded data.

    Raises:
        UserError: One of them is none of these.
    """
    found = Offered(out, backbones=tuple(backbones))
    for one in given:
        path = Path(one)
        if any((path / mark).is_file() for mark in MARKS):
            name = path.resolve().name
            if name in found.single:
                raise UserError(f"Two runs or adapters are named {name}: give the folder that both are in.")
            found.single[name] = path
        elif any(True for _ in below(path, DEPTH)):
            found.places.append(path)
        else:
            located = locate(one)
            name = Path(located.partition("#")[0]).name
            name = name if name not in found.data else f"{name}-{len(found.data) + 1}"
            found.data[name] = Data(name, (one,), located)
    if not given:
        located = PRESETS[EMBEDDED]["data"]
        found.data[located] = Data(located, (), located)
    return found


def below(folder: Path, depth: int) -> Iterator[tuple[tuple[str, ...], Path]]:
    """The runs and adapters in a folder, by the names on the way to them; links are not followed."""
    try:
        children = sorted(path for path in folder.iterdir() if path.is_dir() and not path.is_symlink())
    except OSError:
        return
    for child in children:
        if any((child / mark).is_file() for mark in MARKS):
            yield (child.name,), child
        elif depth > 1 and not child.name.startswith("."):
            yield from (((child.name, *parts), path) for parts, path in below(child, depth - 1))


def of(known: dict[str, T], name: str, what: str) -> T:
    """What has a name.

    Raises:
        HTTPException: Nothing has.
    """
    if name not in known:
        raise HTTPException(404, f"There is no {what} named {name!r:.110} here.")
    return known[name]


def file_in(folder: Path, name: str) -> Path:
    """A file of a folder.

    Raises:
        HTTPException: It is not there, or a link that leads out of the folder.
    """
    path = folder / name
    if not path.is_file() or not path.resolve().is_relative_to(folder.resolve()):
        raise HTTPException(404, f"{folder.name} has no {name}.")
    return path
