"""Snippets with the sentiment that people gave them, of four domains, from the sources of vaderSentiment 0.5."""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

from selfprompt.registry import Record

if TYPE_CHECKING:
    from selfprompt.data.datasets import Dataset

RECORD = Record(
    name="vader",
    title="VADER: A Parsimonious Rule-based Model for Sentiment Analysis of Social Media Text",
    url="https://github.com/cjhutto/vaderSentiment",
    year=2014,
    idea="Positive or negative: film and product reviews, newspaper and tweets, rated by 15 people or more each.",
    parts=("film", "product", "news", "tweets"),
    on_disk=True,
    inputs="text",
)
FILES = {
    "film": "movieReviewSnippets_GroundTruth.txt",
    "product": "amazonReviewSnippets_GroundTruth.txt",
    "news": "nytEditorialSnippets_GroundTruth.txt",
    "tweets": "tweets_GroundTruth.txt",
}
ARCHIVE = "hutto_ICWSM_2014.tar.gz"
NEUTRAL = 0.5
FIX = (
    "pip download --no-deps --no-binary :all: vaderSentiment==0.5, unpack it, and set SELFPROMPT_DATA to that folder"
)


def load(part: str) -> Dataset:
    """The snippets of a domain as one split, each once.

    A line is ``NUMBER RATING TEXT``, with tabs between; the rating is a mean from -4 to 4. Those within half a point
    of 0 are left out (ours).

    Raises:
        UserError: They are not on disk, or a line is written otherwise.
    """
    import numpy as np

    from selfprompt.data.datasets import Dataset, Examples
    from selfprompt.errors import UserError

    where, contents = read(part)
    found: dict[str, int] = {}
    for number, line in enumerate(contents.splitlines(), 1):
        cells = line.split("\t", 2)
        if not line.strip():
            continue
        try:
            rating = float(cells[1])
        except (IndexError, ValueError):
            raise UserError(f"{where}, line {number} is no number, rating and text: unpack {ARCHIVE} anew.") from None
        text = cells[2].strip() if len(cells) > 2 else ""
        if abs(rating) >= NEUTRAL and text:
            found.setdefault(text, int(rating > 0))
    texts = [(text,) for text in found]
    labels = np.array(list(found.values()), dtype=np.int64)
    licence = "MIT; the texts are their authors'"
    names = ("negative", "positive")
    return Dataset(f"vader/{part}", names, Examples(texts, labels), licence=licence, inputs="text")


def read(part: str) -> tuple[str, str]:
    """Where a domain's file is, and what it holds: unpacked, or in the archive that the sources have."""
    from selfprompt.data.listed import data_root
    from selfprompt.errors import UserError
    from selfprompt.files import damaged

    root, name = data_root(), FILES[part]
    for path in below(root, {name, ARCHIVE}):
        try:
            if path.name == name:
                return str(path), path.read_bytes().decode("utf-8-sig")
            with tarfile.open(path, encoding="utf-8") as archive:
                file = archive.extractfile(next(m for m in archive if m.name.endswith(f"/{name}")))
                assert file is not None
                return f"{path}, {name}", file.read().decode("utf-8-sig")
        except (tarfile.TarError, OSError, EOFError, StopIteration, UnicodeDecodeError) as error:
            raise damaged(path, f"{type(error).__name__}", "unpack it anew") from None
    raise UserError(f"vader/{part} was not found: {root} has neither {name} nor {ARCHIVE}; {FIX}.")


def below(root: Path, names: set[str], depth: int = 4) -> list[Path]:
    """Files of some names at most so many folders below one."""
    level, found = [root], []
    for _ in range(depth):
        there = [child for folder in level if folder.is_dir() for child in sorted(folder.iterdir())]
        found += [child for child in there if child.name in names and child.is_file()]
        level = [child for child in there if child.is_dir()]
    return found
