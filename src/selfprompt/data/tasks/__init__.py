"""Tasks made out of raw text: no label is read, as the text itself says what is right.

They are data sets as others are, ``KIND:CORPUS``, with splits of whole documents, so that prompts trained on them are
validated, tested and compared as any, and are a start for others (``--start``). CORPUS is on disk; ``single`` takes
the training texts of a registered data set, too, whose labels are not read.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from selfprompt.errors import UserError, unknown

if TYPE_CHECKING:
    from selfprompt.data.datasets import Dataset

KINDS = ("pairs", "choice", "single")
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
    if not path.exists():
        if is_registered(path):
            if kind != "single":
                raise UserError(f"{path} has no order of its texts, which {kind} asks about: use single:{path}.")
            return data
        raise UserError(f"There is no file or folder {path}: give {kind}: a text file, or a folder of .txt files.")
    _, sign, settings = data.partition("#")
    return f"{kind}:{path.absolute()}{sign}{settings}"


def load_task(data: str) -> Dataset:
    """The data set of ``KIND:CORPUS#SETTING=VALUE&..``.

    - ``pairs``: is the second sentence next to the first one (yes), elsewhere in its document (maybe), or in another
      (no)?
    - ``choice``: which of some sentences stands next to the first one? ``options`` says how many, 6 at first.
    - ``single``: which word was taken out? ``words`` says of how many, 16 at first.

    With ``labels=shuffled`` each answer is another example's: the control, of which nothing can be learnt. ``seed``
    is that of every draw.

    Raises:
        UserError: The corpus cannot be read or is too small, or a setting is none.
    """
    from selfprompt.data.sources import load_located  # which imports this
    from selfprompt.data.tasks.corpus import of_texts, read_corpus
    from selfprompt.data.tasks.formats import choice, pairs, single, task

    kind, path, settings = parts_of(data)
    numbers = {name: int(value) for name, value in settings.items() if name in NUMBERS}
    seed, shuffled = numbers.get("seed", 0), settings.get("labels") == "shuffled"
    registered = is_registered(path)
    documents = of_texts(load_located(path.as_posix(), "text").train.images) if registered else read_corpus(path)
    made = {
        "pairs": lambda: pairs(),
        "choice": lambda: choice(numbers.get("options", 6)),
        "single": lambda: single(documents, numbers.get("words", 16)),
    }[kind]()
    return task(f"{kind} of {path.stem}", documents, made, seed, shuffled)


def is_registered(path: Path) -> bool:
    """Whether it is a data set's name, as what `locate_task` gave has a path's whole."""
    from selfprompt.data.sources import names  # which imports this

    return path.as_posix() in names()


def parts_of(data: str) -> tuple[str, Path, dict[str, str]]:
    """Kind, corpus and settings.

    Raises:
        UserError: A setting is none of the kind's.
    """
    kind, _, rest = data.partition(":")
    name, _, written = rest.partition("#")
    settings = dict(parse_qsl(written, keep_blank_values=True))
    known = ["seed", "labels", *{"choice": ["options"], "single": ["words"]}.get(kind, [])]
    for setting, value in settings.items():
        if setting not in known:
            raise unknown(f"setting of {kind}:CORPUS", setting, known)
        if setting == "labels" and value != "shuffled":
            raise UserError(f"{data} has labels={value}: write labels=shuffled, or leave it out.")
        if setting in NUMBERS:
            least, most = NUMBERS[setting]
            if not value.isdecimal() or not least <= int(value) <= most:
                raise UserError(f"{data} has {setting}={value}: give a whole number from {least} to {most}.")
    return kind, Path(name), settings
