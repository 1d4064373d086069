"""What is being done, told to whoever watches: stages, and how far each is."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

T = TypeVar("T")
Advance = Callable[[int, str], None]
"""Called with (units done since the last call, a few words)."""

clock: Callable[[], float] = time.monotonic
"""Seconds, by which stages are timed and budgets kept."""


class Watcher(ABC):
    """Is told of stages; one may stand within another."""

    @abstractmethod
    def begin(self, name: str, total: int | None, unit: str, done: int) -> None:
        """A stage begins, or goes on: ``done`` of ``total`` units are done; None is not known."""

    @abstractmethod
    def advance(self, units: int, words: str) -> None:
        """So many more units of the innermost stage are done."""

    @abstractmethod
    def end(self) -> None:
        """The innermost stage ends."""


_watching: ContextVar[Watcher | None] = ContextVar("watching", default=None)


@contextmanager
def watched(watcher: Watcher) -> Iterator[None]:
    """Inside, stages of this thread are told to a watcher."""
    token = _watching.set(watcher)
    try:
        yield
    finally:
        _watching.reset(token)


@contextmanager
def stage(name: str, total: int | None = None, unit: str = "", done: int = 0) -> Iterator[Advance]:
    """Inside, a stage is under way; gives what tells how far it is."""
    watcher = _watching.get()
    if watcher is None:
        yield lambda units, words: None
        return
    watcher.begin(name, total, unit, done)
    try:
        yield watcher.advance
    finally:
        watcher.end()


def counted(items: Iterable[T], name: str, total: int, size: Callable[[T], int] = lambda item: 1) -> Iterator[T]:
    """Items that are a stage, each done when the next is asked for; ``size`` says how many units one is."""
    with stage(name, total) as advance:
        for item in items:
            yield item
            advance(size(item), "")
