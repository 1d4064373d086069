"""What the commands say, and where: results to standard output, everything else to standard error."""

from __future__ import annotations

import io
import json as jsonlib
import logging
import math
import os
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, redirect_stdout
from pathlib import Path
from typing import Any, TextIO

from cyclopts import CycloptsError, UnknownOptionError

from selfprompt.errors import UserError, out_of_range, unknown
from selfprompt.watch import watched

results: list[TextIO] = []  # where the result goes
began: list[float] = []  # when commands were given, by `watch.clock`


def emit(result: Mapping[str, object], json: bool, text: str) -> None:
    """Print the one JSON object, or the text; of several processes the first one does."""
    if not is_first():
        return
    out = results[-1] if results else sys.stdout
    try:
        print(jsonlib.dumps(finite(result)) if json else text, file=out, flush=True)
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), out.fileno())  # what could not be said is not said at exit
        fix = "free space, or read it to its end"
        raise UserError(f"Standard output cannot be written ({error.strerror}): {fix}.") from None


def is_first() -> bool:
    """Whether this is the one process, or the first of several."""
    return os.environ.get("RANK", "0") == "0"


def done_in_part(errors: Sequence[str]) -> None:
    """Say what could not be read, and exit with status 3 if something could not."""
    for error in errors if is_first() else ():
        print(f"error: {error}", file=sys.stderr)
    if errors:
        sys.exit(3)


@contextmanager
def result_alone(wanted: bool) -> Iterator[None]:
    """Where it is ``wanted``, standard output has the result and nothing else; libraries print to standard error."""
    results.append(sys.stdout)
    try:
        with redirect_stdout(sys.stderr) if wanted else nullcontext():
            yield
    finally:
        results.pop()


def finite(value: Any) -> Any:
    """A result without NaN and infinities, which JSON does not have: null in their place."""
    if isinstance(value, dict):
        return {key: finite(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def any_letter() -> None:
    """Let the console take every name: a letter that it does not have, or half of one, is written as an escape."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def log_to_stderr() -> None:
    """Show the library's notices."""
    logger = logging.getLogger("selfprompt")
    if not logger.handlers and logging.lastResort:
        logger.addHandler(logging.lastResort)


def sentence(error: UserError | CycloptsError) -> str:
    """What is wrong with the command line, or with what it names."""
    if error.__cause__ is not None and isinstance(error, CycloptsError):
        from pydantic import ValidationError

        if isinstance(error.__cause__, ValidationError):
            argument = getattr(error, "argument", None)
            return str(out_of_range(error.__cause__, argument.name if argument else ""))
    if isinstance(error, UnknownOptionError):
        flags = {name for argument in error.argument_collection if argument.parse for name in argument.names}
        return str(unknown("flag", error.token.keyword or error.token.value, flags))
    return str(error).strip()


def own_command() -> str:
    """The command line, as a shell takes it."""
    return typed("selfprompt", *sys.argv[1:])


def typed(*words: str) -> str:
    """Words as a shell takes them."""
    if os.name != "nt":
        return shlex.join(words)
    from subprocess import list2cmdline

    return list2cmdline(words)


def finish(folder: Path, command: str | None = None) -> None:
    """Keep the command beside what it made, and write the page about it; of several processes the first does."""
    from selfprompt.files import replace_file

    if not is_first():
        return
    if command is not None:
        replace_file(folder / "command.txt", command + "\n")
    page(folder)


def page(folder: Path) -> Path:
    """Write the page about a run, a comparison or a benchmark; a run that was not analysed yet is now."""
    from selfprompt.reports import report
    from selfprompt.runs.analysis import catch_up

    catch_up(folder)
    return report(folder)


@contextmanager
def progress(title: str) -> Iterator[Callable[[int, int | None, str], None]]:
    """A progress bar with time left, on standard error; gives a function of (done, total, words)."""
    with bars() as shown:
        task = shown.add_task(title, total=None, words="")
        yield lambda done, total, words: shown.update(task, completed=done, total=total, words=words)


def bars() -> Any:
    """Progress bars of rich's on standard error, where that is a terminal."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    errors = Console(stderr=True)
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[words]}", markup=False),
    )
    return Progress(*columns, console=errors, disable=not errors.is_terminal)


@contextmanager
def stages() -> Iterator[None]:
    """Inside, stages are shown on standard error: a bar each, or a line each where that is no terminal."""
    from selfprompt.cli.stages import Bars, Lines

    if not is_first():
        yield
        return
    with bars() as shown, watched(Lines() if shown.disable else Bars(shown)):
        yield


def parameter_line(trainable: int, total: int) -> str:
    """The trainable-parameter line, as PEFT prints it."""
    return f"trainable params: {trainable:,} || all params: {total:,} || trainable%: {100 * trainable / total:.4f}"
