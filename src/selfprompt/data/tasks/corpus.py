"""Raw text on disk, as documents of sentences."""

from __future__ import annotations

import lzma
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

from selfprompt.data.tasks import PACKAGED
from selfprompt.errors import UserError
from selfprompt.files import read_text

FIX = "give a text file in UTF-8, with one paragraph a line and an empty line between documents"
LEAST = 5
"""Sentences of a document; of shorter ones no task could be made."""
END = re.compile(r"""(?:(?<=[.!?])|(?<=[.!?]["')\]]))\s+(?=["'(\[]?[^\W_a-z])|(?<=[。！？])\s*""")

Document: TypeAlias = tuple[str, ...]
"""Its sentences, in order."""


def read_corpus(path: Path) -> list[Document]:
    """The documents of a text file, one paragraph a line and an empty line between them, or of a folder of ``.txt``.

    Those of fewer than five sentences are left out, and so are sentences that were in the document before.

    Raises:
        UserError: It cannot be read.
    """
    files = sorted(path.rglob("*.txt")) if path.is_dir() else [path]
    if not files:
        raise UserError(f"{path} has no .txt file: {FIX}.")
    found = (tuple(dict.fromkeys(sentences(text))) for file in files for text in documents(contents(file)))
    return [document for document in found if len(document) >= LEAST]


def contents(file: Path) -> str:
    """A text file; a packaged one is packed by xz."""
    return lzma.decompress(file.read_bytes()).decode() if file in PACKAGED.values() else read_text(file, FIX)


def documents(text: str) -> list[str]:
    """What empty lines set apart."""
    return re.split(r"\n[^\S\n]*\n\s*", text.replace("\r\n", "\n"))


def sentences(document: str) -> Iterator[str]:
    """Sentences, which end with a line at the latest."""
    for line in document.splitlines():
        for sentence in END.split(line):
            if any(letter.isalpha() for letter in sentence):
                yield " ".join(sentence.split())
