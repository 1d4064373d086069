"""One queue and one thread: nothing that was taken is lost, and nobody's fault is another's."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from threading import Event, current_thread
from typing import Any

import numpy as np
import pytest

from selfprompt.serving.batcher import Batcher, Busy, TooLate, Work


def work(number: int, seconds: float = 60.0) -> Work:
    return Work(None, "task", np.array([number]), "probabilities", time.monotonic() + seconds)


def doubled(batch: Sequence[Work]) -> list[Any]:
    return [2 * one.pixels for one in batch]


def started(compute: Callable[[Sequence[Work]], list[Any]], max_batch: int = 4, max_queue: int = 8) -> Batcher:
    made = Batcher(compute, max_batch, 0.0, max_queue)
    made.start()
    return made


def test_batches_are_of_whatever_waits_and_answers_are_each_one_s_own() -> None:
    sizes, threads, first, go = [], set(), Event(), Event()

    def compute(batch: Sequence[Work]) -> list[Any]:
        first.set()
        go.wait()
        sizes.append(len(batch))
        threads.add(current_thread().name)
        return doubled(batch)

    batcher = started(compute)
    answers = [batcher.put(work(0))]
    first.wait()
    answers += [batcher.put(work(i)) for i in range(1, 11)]
    go.set()
    batcher.stop()  # what was taken before is answered
    assert [int(answer.result(0)[0]) for answer in answers] == [2 * i for i in range(11)]
    assert sizes == [1, 4, 4, 2]
    assert threads == {"inference"}


def test_an_image_that_breaks_a_batch_fails_alone() -> None:
    def compute(batch: Sequence[Work]) -> list[Any]:
        if any(one.pixels[0] == 1 for one in batch):
            raise RuntimeError("broken")
        return [ValueError("its own") if one.pixels[0] == 2 else one.pixels for one in batch]

    batcher = Batcher(compute, 4, 0.0, 8)
    answers = [batcher.put(work(i)) for i in range(4)]  # before it starts, so that they are one batch
    batcher.start()
    batcher.stop()
    assert [type(answer.exception(0)) for answer in answers] == [type(None), RuntimeError, ValueError, type(None)]


def test_what_is_late_or_given_up_is_not_computed() -> None:
    seen: list[int] = []

    def compute(batch: Sequence[Work]) -> list[Any]:
        seen.extend(int(one.pixels[0]) for one in batch)
        return doubled(batch)

    batcher = Batcher(compute, 4, 0.0, 8)
    late, gone, kept = batcher.put(work(0, seconds=-1)), batcher.put(work(1)), batcher.put(work(2))
    gone.cancel()
    batcher.start()
    batcher.stop()
    assert isinstance(late.exception(0), TooLate)
    assert (int(kept.result(0)[0]), seen) == (4, [2])


def test_room_is_for_so_many_and_given_back() -> None:
    batcher = Batcher(doubled, 4, 0.0, 3)
    with batcher.room(2):
        with pytest.raises(Busy), batcher.room(2):
            pytest.fail("there was no room")
        with batcher.room(1):
            assert batcher.held == 3
    assert batcher.held == 0
