"""What lies in folders: image files in a fixed order, without litter, runs and links that lead back."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from selfprompt.errors import UserError
from selfprompt.files import LOCK

IMAGE_SUFFIXES = {
    *(".apng", ".avif", ".bmp", ".dib", ".gif", ".heic", ".heif", ".j2c", ".j2k", ".jfif", ".jp2", ".jpe", ".jpeg"),
    *(".jpf", ".jpg", ".jpx", ".pbm", ".pcx", ".pfm", ".pgm", ".png", ".pnm", ".ppm", ".qoi", ".tga", ".tif"),
    *(".tiff", ".webp"),
}
"""Names of pictures; those of a format that this Pillow cannot read are among the files left out."""

LITTER = {
    *("@eadir", "#recycle", "#snapshot", "@recycle", "__macosx", "__pycache__", "$recycle.bin", "found.000"),
    *("system volume information", "lost+found", "thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"),
}
"""What systems leave in folders, in lower case; names that begin with a dot are left out, too."""


@dataclass(frozen=True)
class File:
    """A file, where it really is, and its inode number."""

    path: str
    real: str
    inode: int


@dataclass
class LeftOut:
    """What was met on the way and not taken.

    Args:
        others: Files that are no images by name, or of a format that cannot be read here.
        links: Links to folders that were not followed.
        twice: Further names of files that were taken.
        broken: Links to nothing.
        runs: Folders of runs.
    """

    others: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    runs: list[str] = field(default_factory=list)

    def add(self, more: LeftOut) -> None:
        """Take up what another walk left out."""
        for name, paths in vars(more).items():
            getattr(self, name).extend(paths)

    def notices(self, root: str | Path) -> list[str]:
        """A sentence for each kind, but for runs, which nobody misses."""
        sentences = {
            "are no images by name, or none that can be read here, and left out": self.others,
            "are links back into the data, or to a folder listed already, and not followed": self.links,
            "are further names of files listed already, and left out": self.twice,
            "are links to what is not there, and left out": self.broken,
        }
        return [
            f"{len(paths):,} file(s) under {root} {what}, such as {paths[0]}"
            for what, paths in sentences.items()
            if paths
        ]


def entries(folder: str | Path) -> list[os.DirEntry[str]]:
    """What lies directly in a folder, by name, without litter.

    Raises:
        UserError: The folder cannot be listed.
    """
    try:
        with os.scandir(folder) as found:
            kept = [e for e in found if not e.name.startswith(".") and e.name.lower() not in LITTER]
    except OSError as error:
        raise UserError(
            f"{folder} cannot be listed ({error.strerror}): change its permissions, or move it."
        ) from None
    return sorted(kept, key=lambda entry: entry.name)


def is_run(folder: str | Path) -> bool:
    """Whether a folder is a run's own: one that has written its first two files, or is at work in it."""
    there = [os.path.isfile(os.path.join(folder, name)) for name in (LOCK, "run.json", "split.json")]
    return there[0] or all(there[1:])


def is_image(name: str) -> bool:
    """Whether a file is an image by its name, of a format that can be read here."""
    suffix = os.path.splitext(name)[1].lower()
    return suffix in IMAGE_SUFFIXES and suffix in Image.registered_extensions()


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a folder, or a link to one; a link that leads to itself is none."""
    return os.path.isdir(entry.path) if entry.is_symlink() else entry.is_dir()


def dangling(folder: str | Path) -> list[str]:
    """Links to nothing directly in a folder, but for those named as images."""
    return [e.path for e in entries(folder) if e.is_symlink() and not os.path.exists(e.path) and not is_image(e.name)]


def subfolders(root: str | Path) -> list[Path]:
    """Folders directly under ``root``, sorted, without litter and runs."""
    return sorted(Path(e.path) for e in entries(root) if is_folder(e) and not is_run(e.path))


def loose_images(root: str | Path) -> list[str]:
    """Images directly in ``root``."""
    return [e.path for e in entries(root) if is_image(e.name) and not is_folder(e)]


def walk(root: str | Path, home: str | Path | None = None, left: LeftOut | None = None) -> Iterator[File]:
    """Every image below a folder in a fixed order: first the files of a folder, then its subfolders.

    Args:
        root: The folder.
        home: The data set that it is of. A link into it, or to a folder that holds it, is not followed: what it
            shows is listed where it lies. Nor is a folder entered twice.
        left: Collects what is left out.

    Raises:
        UserError: A folder cannot be listed.
    """
    left = left or LeftOut()
    base = os.path.realpath(home or root)
    start = os.path.realpath(root)
    if home is not None and os.path.islink(root) and is_inside(base, start):
        left.links.append(str(root))
        return
    stack, entered = [(str(root), start)], set()
    while stack:
        folder, real = stack.pop()
        if real in entered:
            left.links.append(folder)
            continue
        entered.add(real)
        below = []
        for entry in entries(folder):
            linked = entry.is_symlink() or getattr(entry, "is_junction", bool)()
            where = os.path.realpath(entry.path) if linked else os.path.join(real, entry.name)
            if is_folder(entry):
                if is_run(entry.path):
                    left.runs.append(entry.path)
                elif linked and (is_inside(where, base) or is_inside(base, where)):
                    left.links.append(entry.path)
                else:
                    below.append((entry.path, where))
            elif is_image(entry.name) and (linked or entry.is_file()):
                yield File(entry.path, where, entry.inode())
            elif linked and not os.path.exists(entry.path):
                left.broken.append(entry.path)
            else:
                left.others.append(entry.path)
        stack += reversed(below)


def is_inside(path: str, folder: str) -> bool:
    """Whether a real path is a folder or lies in it."""
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)


def holds_images(root: str | Path, home: str | Path | None = None) -> bool:
    """Whether there is an image below a folder."""
    return next(walk(root, home), None) is not None


class Once:
    """Which files were taken, so that one file under two names (links, hard links) is noticed."""

    def __init__(self) -> None:
        self._real: dict[str, str] = {}
        self._inodes: dict[int, str] = {}

    def take(self, file: File) -> str | None:
        """Note a file; the path under which it was taken before, if it was."""
        before = self._real.get(file.real)
        if before is None and (other := self._inodes.get(file.inode)) is not None and same_file(other, file.path):
            before = other
        if before is None:
            self._real[file.real] = file.path
            self._inodes.setdefault(file.inode, file.path)
        return before

    def __contains__(self, file: File) -> bool:
        return file.real in self._real


def same_file(one: str, other: str) -> bool:
    """Whether two names are hard links to one file."""
    try:
        first, second = os.stat(one), os.stat(other)
    except OSError:
        return False
    return first.st_nlink > 1 and os.path.samestat(first, second)
