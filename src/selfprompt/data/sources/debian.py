"""Descriptions of Debian's packages by section, from the lists that apt keeps on this machine."""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import numpy as np

from selfprompt.data.datasets import Dataset, Examples
from selfprompt.errors import UserError
from selfprompt.registry import Record

RECORD = Record(
    name="debian",
    title="Debian's package descriptions",
    url="https://www.debian.org/distrib/packages",
    idea="What a package is for: the archive's sections by description, from the lists of this machine's own apt.",
    on_disk=True,
    inputs="text",
)
ROOT = Path("/var/lib/apt/lists")
HELPER = "/usr/lib/apt/apt-helper"
LEAST = 100
"""Descriptions of a section that is a class."""
FORMS = {
    "debug",
    "doc",
    "introspection",
    "libdevel",
    "libs",
    "localization",
    "metapackages",
    "misc",
    "oldlibs",
    "tasks",
}
"""Sections that say what form a package has, or nothing, and not what it is for."""


@lru_cache
def load() -> Dataset:
    """One description for each source package and section, as one split.

    Descriptions are long where apt has them (``apt-get update -o Acquire::Languages=en``), and else of one line. Each
    is under its package's own licence.

    Raises:
        UserError: There are no lists, they cannot be read, or they hold no two sections with enough descriptions.
    """
    lists = sorted(path for path in ROOT.glob("*_Packages*") if path.is_file()) if ROOT.is_dir() else []
    if not lists:
        raise UserError(f"The data set debian reads apt's lists, and {ROOT} has none: run apt-get update.")
    long = {
        (one.get("Package"), one.get("Description-md5")): one["Description-en"]
        for path in sorted(ROOT.glob("*_Translation-en*"))
        for one in paragraphs(path)
        if "Description-en" in one
    }
    found: dict[tuple[str, str], str] = {}
    for path in lists:
        for one in paragraphs(path):
            section = one.get("Section", "").rpartition("/")[2]
            source = one.get("Source", one.get("Package", "")).split(" ")[0]
            text = long.get((one.get("Package"), one.get("Description-md5")), one.get("Description", ""))
            if section and section not in FORMS and text:
                found.setdefault((source, section), plain(text))
    texts = {text: section for (_, section), text in reversed(found.items())}  # each once, as it is first
    counts = Counter(texts.values())
    names = sorted(section for section, count in counts.items() if count >= LEAST)
    if len(names) < 2:
        raise UserError(
            f"apt's lists in {ROOT} have {len(names)} sections of {LEAST} descriptions: run apt-get update."
        )
    kept = [(text, section) for text, section in reversed(texts.items()) if section in names]
    labels = np.array([names.index(section) for _, section in kept], dtype=np.int64)
    licence = "each package's own"
    return Dataset("debian", tuple(names), Examples([(t,) for t, _ in kept], labels), licence=licence, inputs="text")


def paragraphs(path: Path) -> Iterator[dict[str, str]]:
    """The paragraphs of a list: fields by name (deb822(5)), a further line of one behind a line's end."""
    for block in contents(path).split("\n\n"):
        fields: dict[str, str] = {}
        name = ""
        for line in block.split("\n"):
            if line[:1].isspace():
                fields[name] = f"{fields.get(name, '')}\n{line.strip()}"
            elif ":" in line:
                name, _, value = line.partition(":")
                fields[name] = value.strip()
        if fields:
            yield fields


def contents(path: Path) -> str:
    """A list, unpacked by apt where it is packed.

    Raises:
        UserError: It cannot be read.
    """
    try:
        if path.suffix in (".lz4", ".gz", ".xz", ".bz2", ".zst"):
            done = subprocess.run([HELPER, "cat-file", str(path)], capture_output=True, check=True)
            return done.stdout.decode("utf-8", "replace")
        return path.read_text(encoding="utf-8", errors="replace")
    except (OSError, subprocess.CalledProcessError) as error:
        raise UserError(f"{path} cannot be read ({error}): run apt-get update.") from None


def plain(description: str) -> str:
    """A description as running text: the line, then the paragraphs without the marks between them."""
    short, _, rest = description.partition("\n")
    body = re.sub(r"\s+", " ", " ".join(line for line in rest.split("\n") if line != ".")).strip()
    return f"{short.rstrip('.')}. {body}" if body else short
