"""What the studio may read: what the command line named, and what stands below OUT. Pages know it by names alone."""

from __future__ import annotations

import itertools
import shlex
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from fastapi import HTTPException

from selfprompt.adapters.format import CONFIG_NAME
from selfprompt.backbones import RECORDS
from selfprompt.data import sources
from selfprompt.data.sources import locate
from selfprompt.data.tables import apart
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
        words: How a command is given it, wherever it is given; the embedded one is what `selfprompt tune` takes by
            itself.
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
        single: Runs and adapters that were named.
        places: Further folders in which runs and adapters are looked for.
        backbones: Those that a run may use beside the packaged ones.
    """

    out: Path
    data: dict[str, Data] = field(default_factory=dict)
    single: list[Path] = field(default_factory=list)
    places: list[Path] = field(default_factory=list)
    backbones: tuple[str, ...] = ()

    def folders(self) -> dict[str, Path]:
        """Runs and adapters that are there now, by name; one that is offered twice is there once."""
        every = [((one.resolve().name,), one) for one in self.single]
        every += [one for place in (self.out, *self.places) for one in below(place, DEPTH)]
        known: set[Path] = set()
        found: dict[str, Path] = {}
        for parts, path in every:
            if (real := path.resolve()) not in known:
                found[free(parts, real, found)] = path
                known.add(real)
        return found

    def name_of(self, folder: Path) -> str:
        """The name of a run in `out`."""
        return next((name for name, path in self.folders().items() if path == folder), folder.name)

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
        place = None if backbone in self.backbones else file_of(backbone)
        if place is not None and place not in map(file_of, self.backbones):
            given = shlex.quote(backbone)
            raise UserError(f"The backbone {backbone} was not offered: give --backbone {given}, too.")

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
    found = Offered(out.absolute(), backbones=tuple(map(anywhere, backbones)))
    for one in given:
        path = Path(one).absolute()
        if marked(path):
            found.single.append(path)
        elif any(True for _ in below(path, DEPTH)):
            found.places.append(path)
        elif (located := locate(one)) not in [data.located for data in found.data.values()]:
            plain = Path(apart(located)[0]).name
            numbered = (f"{plain}-{number}" for number in itertools.count(2))
            name = next(name for name in itertools.chain([plain], numbered) if name not in found.data)
            found.data[name] = Data(name, (one if located in sources.names() else located,), located)
    if not given:
        located = PRESETS[EMBEDDED]["data"]
        found.data[located] = Data(located, (), located)
    return found


def file_of(backbone: str) -> Path | None:
    """The file or folder that a backbone is; None where it has a name alone."""
    path = Path(backbone.partition(":")[2] or backbone)
    return path.resolve() if path.exists() else None


def anywhere(backbone: str) -> str:
    """A backbone as it is named from any folder."""
    kind, mark, place = backbone.rpartition(":") if not Path(backbone).exists() else ("", "", backbone)
    return f"{kind}{mark}{Path(place).absolute()}" if backbone not in RECORDS and Path(place).exists() else backbone


def free(parts: Sequence[str], path: Path, taken: Collection[str]) -> str:
    """A name that nothing else has: of the folders on the way to a path, and where need be of those above.

    Args:
        parts: The folders on the way, and its own.
        path: Absolute.
        taken: Names.
    """
    name = "~".join(parts)
    for count in range(len(parts) + 1, len(path.parts)):
        if name not in taken:
            break
        name = "~".join(path.parts[-count:])
    while name in taken:  # a name may have a ~ of its own
        name += "~"
    return name


def marked(folder: Path) -> bool:
    """Whether a folder is a run or an adapter; one that may not be read is none."""
    try:
        return any((folder / mark).is_file() for mark in MARKS)
    except OSError:
        return False


def below(folder: Path, depth: int) -> Iterator[tuple[tuple[str, ...], Path]]:
    """The runs and adapters in a folder, by the names on the way to them; links are not followed."""
    try:
        children = sorted(path for path in folder.iterdir() if path.is_dir() and not path.is_symlink())
    except OSError:
        return
    for child in children:
        if marked(child):
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
