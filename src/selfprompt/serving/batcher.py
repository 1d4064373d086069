"""One queue, and the one thread that computes: batches of whatever waits."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, Literal

import numpy as np

from selfprompt.serving.bank import Bank


class Busy(Exception):
    """There is no room for more images."""


class TooLate(Exception):
    """It waited longer than it may."""


@dataclass(frozen=True)
class Work:
    """One image that waits for its answer.

    Args:
        bank: That of the pool when the request came: whatever is loaded since, it is answered from this one.
        task: The adapter; None for the frozen backbone.
        pixels: (3, S, S) uint8.
        wants: What the answer is.
        deadline: By `time.monotonic`; past it, it is not computed any more.
        queued: When it came, by the same clock.
        answer: (C,) or (F,) float32; an error; or cancelled, where nobody waits any more.
    """

    bank: Bank
    task: str | None
    pixels: np.ndarray
    wants: Literal["probabilities", "features"]
    deadline: float
    queued: float = field(default_factory=time.monotonic)
    answer: Future[np.ndarray] = field(default_factory=Future)


class Batcher:
    """Dynamic batches: as many images as wait, up to a number, or what has come after a little while.

    Args:
        compute: The answers of a batch, in its order. It is called by one thread alone.
        max_batch: Images of a batch.
        max_wait: Seconds that a batch waits to be filled.
        max_queue: Images accepted and not yet answered.

    Attributes:
        held: Images accepted and not yet answered.
    """

    def __init__(
        self, compute: Callable[[Sequence[Work]], Sequence[Any]], max_batch: int, max_wait: float, max_queue: int
    ) -> None:
        self.compute, self.max_batch, self.max_wait, self.max_queue = compute, max_batch, max_wait, max_queue
        self.held = 0
        self.queue: SimpleQueue[Work | None] = SimpleQueue()
        self.thread = Thread(target=self._run, name="inference", daemon=True)

    def start(self) -> None:
        """Begin to compute."""
        self.thread.start()

    def stop(self) -> None:
        """Answer what waits, then end."""
        self.queue.put(None)
        self.thread.join()

    @contextmanager
    def room(self, count: int) -> Iterator[None]:
        """Hold room for so many images; entered by one thread alone.

        Raises:
            Busy: There is none.
        """
        if self.held + count > self.max_queue:
            raise Busy
        self.held += count
        try:
            yield
        finally:
            self.held -= count

    def put(self, work: Work) -> Future[np.ndarray]:
        """Queue an image."""
        self.queue.put(work)
        return work.answer

    def _run(self) -> None:
        while (first := self.queue.get()) is not None:
            batch, until = [first], time.monotonic() + self.max_wait
            while len(batch) < self.max_batch:
                try:
                    more = self.queue.get(timeout=max(0.0, until - time.monotonic()))
                except Empty:
                    break
                if more is None:
                    self.queue.put(None)
                    break
                batch.append(more)
            self._answer([work for work in batch if wanted(work)])

    def _answer(self, batch: Sequence[Work]) -> None:
        """Compute a batch; where that fails, each image by itself, so that it fails alone."""
        if not batch:
            return
        try:
            answers = self.compute(batch)
        except Exception as error:
            for work in batch if len(batch) > 1 else ():
                self._answer([work])
            if len(batch) == 1:
                batch[0].answer.set_exception(error)
            return
        for work, answer in zip(batch, answers):
            if isinstance(answer, Exception):
                work.answer.set_exception(answer)
            else:
                work.answer.set_result(answer)


def wanted(work: Work) -> bool:
    """Whether somebody waits for it, and it is not too late."""
    if not work.answer.set_running_or_notify_cancel():
        return False
    if time.monotonic() > work.deadline:
        work.answer.set_exception(TooLate())
        return False
    return True
