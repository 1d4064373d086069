"""Processes of tests that need not read the libraries anew, which takes longer than what is tested in them.

They are begun as the processes of comparisons are, forked from one that has read the libraries and has done nothing
else: all that one knows of another is what is on the disk. Sets of names have one order in all of them, though: where
answers must be the same to the bit, one of them is from a process that is new.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from tempfile import NamedTemporaryFile

import numpy as np

from selfprompt.comparison.workers import fresh

COMMAND = "from selfprompt.cli import main; main()"


def become(
    code: str, words: list[str], stdout: Connection, errors: str, about: Mapping[str, str], folder: str, apart: bool
) -> None:
    """What ``python -c code words`` would be."""
    if apart:
        os.setsid()
    os.dup2(stdout.fileno(), 1)
    stdout.close()
    with open(errors, "wb") as file:
        os.dup2(file.fileno(), 2)
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = os.fdopen(2, "w", 1, "utf-8", "backslashreplace", closefd=False)
    os.environ.clear()
    os.environ.update(about)
    os.chdir(folder)
    sys.argv = ["-c", *words]
    np.random.seed()  # noqa: NPY002  (as it is in a process that is new; Python itself draws anew)
    exec(code, {"__name__": "__main__"})


class Python:
    """``python -c CODE WORDS``, to be waited for or killed as a `subprocess.Popen` with a pipe of its output is.

    Args:
        code: What it runs; by default the command line.
        words: Its arguments.
        apart: Whether it has a process group of its own.
        environment: What is added to the environment.
    """

    def __init__(
        self, *words: object, code: str = COMMAND, apart: bool = False, environment: Mapping[str, str] | None = None
    ) -> None:
        read, write = Pipe(duplex=False)
        self.errors = NamedTemporaryFile("r", encoding="utf-8")  # noqa: SIM115
        about = os.environ | (environment or {})
        self.process = fresh().Process(
            target=become, args=(code, [*map(str, words)], write, self.errors.name, about, os.getcwd(), apart)
        )
        self.process.start()
        write.close()
        self.stdout = open(os.dup(read.fileno()), encoding="utf-8")  # noqa: SIM115
        read.close()

    @property
    def pid(self) -> int:
        return self.process.pid

    def poll(self) -> int | None:
        return self.process.exitcode

    def kill(self) -> None:
        self.process.kill()

    def wait(self) -> int:
        self.process.join()
        return self.process.exitcode

    def communicate(self) -> tuple[str, str]:
        """All that it says, until its end."""
        with self.stdout, self.errors:
            out = self.stdout.read()
            self.wait()
            return out, self.errors.read()


def done(*words: object, **how: object) -> subprocess.CompletedProcess[str]:
    """A command that has ended, with its exit status and what it said on both outputs."""
    process = Python(*words, **how)  # type: ignore[arg-type]
    out, errors = process.communicate()
    return subprocess.CompletedProcess(["selfprompt", *map(str, words)], process.wait(), out, errors)
