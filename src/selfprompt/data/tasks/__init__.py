"""Tasks made out of raw text: no label is read, as the text itself says what is right.

They are data sets as others are, ``KIND:CORPUS``, with splits of whole documents, so that prompts trained on them are
validated, tested and compared as any, and are a start for others (``--start``).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from selfprompt.errors import UserError, unknown

if TYPE_CHECKING:
    from selfprompt.data.datasets import Dataset

KINDS = ("pairs", "choice", "single")
PACKAGED = {"wordnet-mini": Path(__file__).parent.parent / "sources" / "wordnet_mini" / "corpus.txt.xz"}
"""Corpora that the package carries, by name."""
NUMBERS = {"seed": (0, 2**32 - 1), "options": (2, 16), "words": (2, 10_000)}


def is_task(data: str) -> bool:
    """Whether DATA is ``KIND:CORPUS``."""
    return data.partition(":")[0] in KINDS and ":" in data


def locate_task(data: str) -> str:
    """The same, in a form that stands for it anywhere.

    Raises:
        UserError: There is no such file or folder, or a setting is none.
    """
    kind, path, _ = parts_of(data)
    if path in PACKAGED.values():
        return data
    if not path.exists():
        known = f"a text file, a folder of .txt files, or {' or '.join(PACKAGED)}"
        raise UserError(f"There is no file or folder {path}: give {kind}: {known}.")
    _, sign, settings = data.partition("#")
    return f"{kind}:{path.absolute()}{sign}{settings}"


def load_task(data: str) -> Dataset:
    """The data set of ``KIND:CORPUS#SETTING=VALUE&..``; the corpus is a path, or the name of a packaged one.

    - ``pairs``: is the second sentence next to the first one (yes), elsewhere in its document (maybe), or in another
      (no)?
    - ``choice``: which of some sentences stands next to the first one? ``options`` says how many, 6 at first.
    - ``single``: which word was taken out? ``words`` says of how many, 16 at first, and ``without``, with commas
      between, which are not among them.

    With ``labels=shuffled`` each answer is another example's: the control, of which nothing can be learnt. ``seed``
    is that of every draw.

    Raises:
        UserError: The corpus cannot be read or is too small, or a setting is none.
    """
    from selfprompt.data.tasks.corpus import read_corpus
    from selfprompt.data.tasks.formats import choice, pairs, single, task

    kind, path, settings = parts_of(data)
    numbers = {name: int(value) for name, value in settings.items() if name in NUMBERS}
    seed, shuffled = numbers.get("seed", 0), settings.get("labels") == "shuffled"
    documents = read_corpus(path)
    form = {
        "pairs": lambda: pairs(),
        "choice": lambda: choice(numbers.get("options", 6)),
        "single": lambda: single(documents, numbers.get("words", 16), settings.get("without", "").split(",")),
    }[kind]()
    packaged = next((name for name, file in PACKAGED.items() if file == path), None)
    licence = "WordNet 3.0 licence: any purpose, with its notice" if packaged else "the user's own"
    made = task(f"{kind} of {packaged or path.stem}", documents, form, seed, shuffled)
    return replace(made, licence=licence)


def parts_of(data: str) -> tuple[str, Path, dict[str, str]]:
    """Kind, corpus and settings.

    Raises:
        UserError: A setting is none of the kind's.
    """
    kind, _, rest = data.partition(":")
    name, _, written = rest.partition("#")
    settings = dict(parse_qsl(written, keep_blank_values=True))
    known = ["seed", "labels", *{"choice": ["options"], "single": ["words", "without"]}.get(kind, [])]
    for setting, value in settings.items():
        if setting not in known:
            raise unknown(f"setting of {kind}:CORPUS", setting, known)
        if setting == "labels" and value != "shuffled":
            raise UserError(f"{data} has labels={value}: write labels=shuffled, or leave it out.")
        if setting in NUMBERS:
            least, most = NUMBERS[setting]
            if not value.isdecimal() or not least <= int(value) <= most:
                raise UserError(f"{data} has {setting}={value}: give a whole number from {least} to {most}.")
    path = Path(name)
    return kind, path if path.exists() else PACKAGED.get(name, path), settings
