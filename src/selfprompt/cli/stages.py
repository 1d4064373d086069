"""Stages as they are shown on standard error."""

from __future__ import annotations

import sys
from typing import Any

from selfprompt.watch import Watcher


class Lines(Watcher):
    """A line where a stage begins for the first time."""

    def __init__(self) -> None:
        self._said: set[tuple[str, int | None]] = set()

    def begin(self, name: str, total: int | None, unit: str, done: int) -> None:
        if (name, total) not in self._said:
            self._said.add((name, total))
            many = "" if total is None else f": {total:,} {unit}"
            print(f"{name}{many}".rstrip(), file=sys.stderr, flush=True)

    def advance(self, units: int, words: str) -> None:
        pass

    def end(self) -> None:
        pass


class Bars(Watcher):
    """A bar for each stage, which stays when it is over; one within another is gone then.

    Args:
        bars: rich's.
    """

    def __init__(self, bars: Any) -> None:
        self._bars, self._tasks, self._open = bars, {}, []

    def begin(self, name: str, total: int | None, unit: str, done: int) -> None:
        if name not in self._tasks:
            self._tasks[name] = self._bars.add_task(name, total=total, words="")
        elif not done:
            self._bars.reset(self._tasks[name], total=total, words="")
        self._bars.update(self._tasks[name], total=total, completed=done, visible=True)
        self._open.append(self._tasks[name])

    def advance(self, units: int, words: str) -> None:
        self._bars.update(self._open[-1], advance=units, words=words)

    def end(self) -> None:
        task = self._open.pop()
        if self._open or self._bars.tasks[task].total is None:
            self._bars.update(task, visible=False)
