"""Stages as they are shown on standard error."""

from __future__ import annotations

import sys
from typing import Any

from selfprompt import watch
from selfprompt.watch import Watcher

SILENCE = 30.0
"""Seconds after which a line says how far a stage is."""


class Lines(Watcher):
    """A line where a stage begins for the first time, and one now and then of how far the outermost is."""

    def __init__(self) -> None:
        self._said: set[tuple[str, int | None]] = set()
        self._open: list[tuple[str, int | None, str, list[int]]] = []
        self._last = watch.clock()

    def begin(self, name: str, total: int | None, unit: str, done: int) -> None:
        self._open.append((name, total, unit, [done]))
        if (name, total) not in self._said:
            self._said.add((name, total))
            many = "" if total is None else f": {total:,} {unit}"
            self._say(f"{name}{many}")

    def advance(self, units: int, words: str) -> None:
        name, total, unit, done = self._open[-1]
        done[0] += units
        if len(self._open) == 1 and total is not None and watch.clock() - self._last >= SILENCE:
            self._say(f"{name}: {done[0]:,} of {total:,} {unit}".rstrip() + (f", {words}" if words else ""))

    def end(self) -> None:
        self._open.pop()

    def _say(self, line: str) -> None:
        self._last = watch.clock()
        print(line.rstrip(), file=sys.stderr, flush=True)


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
