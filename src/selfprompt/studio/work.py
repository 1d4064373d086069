"""The commands that a page starts: each is a process of its own, and what is known of it stands in its folder."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Annotated, Any, Literal

import psutil
from filelock import FileLock, Timeout
from pydantic import BaseModel, ConfigDict, Field

from selfprompt.errors import UserError
from selfprompt.files import LOCK, read_as, replace_file, writing
from selfprompt.runs.config import NAME as RUN
from selfprompt.tuning.records import METRICS

BEGUN, LOG = "studio.json", "studio.log"
PATIENCE = 10.0
"""Seconds that a run has to end when it is asked to."""
EVERY = 0.5  # seconds between looks at what is at work
State = Literal["running", "done", "stopped", "failed", "adapter"]


class Begun(BaseModel):
    """The process that works, or worked, in a folder: studio.json.

    Args:
        words: What was asked of selfprompt.
        pid, started: The process, and when it began, by the system's clock.
    """

    model_config = ConfigDict(extra="forbid")

    words: list[str]
    pid: Annotated[int, Field(ge=1, lt=2**31)]
    started: float


def shown(words: Sequence[str]) -> str:
    """A command as a shell takes it."""
    return shlex.join(["selfprompt", *words])


def ask(words: Sequence[str], unwanted: Callable[[], bool] = lambda: False) -> dict[str, Any]:
    """The one JSON object that a command prints.

    Args:
        words: Of the command.
        unwanted: Whether nobody waits for it any more; it is asked now and then, and the command ended.

    Raises:
        UserError: It prints none; with the sentence that it ends with.
    """
    with TemporaryDirectory(prefix="selfprompt-") as own:  # so that nothing is left of a command that is ended
        none, pipe = subprocess.DEVNULL, subprocess.PIPE
        places = os.environ | dict.fromkeys(("TMPDIR", "TEMP", "TMP"), own)
        command = program([*words, "--json"])
        with subprocess.Popen(command, env=places, stdin=none, stdout=pipe, stderr=pipe) as process:
            while True:
                try:
                    out, errors = process.communicate(timeout=EVERY)
                    break
                except subprocess.TimeoutExpired:
                    if unwanted():
                        process.kill()
    try:
        return json.loads(out)
    except ValueError:
        raise UserError(sentence(errors.decode(errors="replace"))) from None


def begin(words: Sequence[str], folder: Path) -> None:
    """Start a command that works in a folder, and say there that it does.

    Raises:
        UserError: The folder cannot be written, or another process works in it.
    """
    if state(folder) == "running":
        raise UserError(f"A run is at work in {folder}: stop it first.")
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        log = (folder / LOG).open("wb")
    with log:  # a session of its own: it goes on when the studio ends
        quiet: Any = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": subprocess.STDOUT}
        process = subprocess.Popen(program(words), **quiet, start_new_session=True)
    Thread(target=process.wait, daemon=True).start()
    begun = Begun(words=list(words), pid=process.pid, started=psutil.Process(process.pid).create_time())
    replace_file(folder / BEGUN, begun.model_dump_json() + "\n")


def stop(folder: Path) -> None:
    """End the process that a page started in a folder, as SIGTERM does; what it has finished can be resumed.

    Raises:
        UserError: Another one works there.
    """
    process = working(folder)
    if process is None and locked(folder):
        raise UserError(f"No page started what works in {folder}: stop it where it was started, with Ctrl-C.")
    if process is None:
        return
    try:
        process.terminate()
        process.wait(PATIENCE)
    except psutil.TimeoutExpired:
        process.kill()
        process.wait(PATIENCE)
    except psutil.NoSuchProcess:
        pass


def tested(folder: Path) -> bool:
    """Whether a run's metrics are those of the test, too, and not of its training alone; damage is said elsewhere."""
    try:
        return json.loads((folder / METRICS).read_bytes())["test_accuracy"] is not None
    except (OSError, ValueError, LookupError, TypeError):
        return True


def state(folder: Path) -> State:
    """What became of a run; ``failed`` where there is nothing to resume, ``adapter`` where no run was.

    Raises:
        UserError: What is known of its process is damaged.
    """
    if working(folder) is not None or locked(folder):
        return "running"
    if (folder / METRICS).is_file() and tested(folder):
        return "done"
    if (folder / RUN).is_file():
        return "stopped"
    return "failed" if (folder / BEGUN).is_file() else "adapter"


def begun_in(folder: Path) -> Begun | None:
    """What a page started in a folder, whether or not it still works.

    Raises:
        UserError: The file is damaged.
    """
    return read_as(folder / BEGUN, Begun, "remove it") if (folder / BEGUN).is_file() else None


def working(folder: Path) -> psutil.Process | None:
    """The process that a page started in a folder, if it still works."""
    begun = begun_in(folder)
    if begun is None:
        return None
    try:
        process = psutil.Process(begun.pid)
        same = abs(process.create_time() - begun.started) < 1  # numbers are given again
        return process if same and process.status() != psutil.STATUS_ZOMBIE else None
    except psutil.Error:
        return None


def locked(folder: Path) -> bool:
    """Whether a process that no page started works in a folder."""
    if not (folder / LOCK).is_file():
        return False
    lock = FileLock(folder / LOCK, timeout=0)
    try:
        lock.acquire()
    except (Timeout, OSError):
        return True
    lock.release()
    return False


def said(folder: Path) -> str:
    """The sentence with which the command in a folder ended badly; empty where it did not."""
    try:
        text = (folder / LOG).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    return sentence(text) if "error: " in text or "Traceback" in text else ""


def sentence(text: str) -> str:
    """What a command ends with where it fails."""
    lines = [line for line in text.splitlines() if line.strip()]
    errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    return (errors or lines or ["The command ended without a word."])[-1]


def program(words: Sequence[str]) -> list[str]:
    """A command as a process."""
    return [sys.executable, "-m", "selfprompt", *words]
