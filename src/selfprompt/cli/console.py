"""What the commands say, and where: results to standard output, everything else to standard error."""

from __future__ import annotations

import json as jsonlib
import logging
import os
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.logging import RichHandler
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from selfprompt.reports import report as write_report

errors = Console(stderr=True)


def report(result: dict[str, Any], json: bool, text: str) -> None:
    """Print the one JSON object, or the text; of several processes the first one speaks."""
    if os.environ.get("RANK", "0") != "0":
        return
    print(jsonlib.dumps(result) if json else text, file=sys.stdout, flush=True)


def log_to_stderr() -> None:
    """Show the library's notices."""
    logger = logging.getLogger("selfprompt")
    if not logger.handlers:
        logger.addHandler(RichHandler(console=errors, show_time=False, show_path=False, show_level=False))


def finish(folder: Path) -> None:
    """Keep the command beside what it made, and write the page about it; of several processes the first does."""
    if os.environ.get("RANK", "0") != "0":
        return
    if "--resume" not in sys.argv:
        (folder / "command.txt").write_text(shlex.join(["selfprompt", *sys.argv[1:]]) + "\n")
    write_report(folder)


@contextmanager
def progress(title: str) -> Iterator[Callable[[int, int, str], None]]:
    """A progress bar with time left, on standard error; gives a function of (done, total, words)."""
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[words]}", markup=False),
    )
    with Progress(*columns, console=errors, disable=not errors.is_terminal) as bars:
        task = bars.add_task(title, total=None, words="")
        yield lambda done, total, words: bars.update(task, completed=done, total=total, words=words)


def parameter_line(trainable: int, total: int) -> str:
    """The trainable-parameter line, as PEFT prints it."""
    return f"trainable params: {trainable:,} || all params: {total:,} || trainable%: {100 * trainable / total:.4f}"
