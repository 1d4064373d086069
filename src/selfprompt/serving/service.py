"""What the routes of a server share: pool, queue, decoders, and the way of a request through them."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal, TypeVar

import numpy as np
import torch
from fastapi import HTTPException, Request
from starlette.requests import ClientDisconnect

from selfprompt.data.protocol import protocol_for
from selfprompt.errors import Diverged, UserError, unknown
from selfprompt.serving.bank import Bank, Member
from selfprompt.serving.batcher import Batcher, Work
from selfprompt.serving.decoding import decode
from selfprompt.serving.metrics import Metrics
from selfprompt.serving.pool import AdapterPool
from selfprompt.serving.settings import Settings

T = TypeVar("T")
Wanted = Literal["probabilities", "features"]


class Service:
    """A pool that is asked by many at once.

    Args:
        pool: Of the adapters; whoever loads or unloads puts another bank into it.
        settings: Limits.

    Attributes:
        warm: Whether the backbone has answered once.
        draining: Whether the server is about to end.
    """

    def __init__(self, pool: AdapterPool, settings: Settings) -> None:
        self.pool, self.settings, self.metrics = pool, settings, Metrics()
        self.batcher = Batcher(self.compute, settings.max_batch, settings.max_wait_ms / 1000, settings.max_queue)
        threads = settings.threads or torch.get_num_threads()
        self.decoders = ThreadPoolExecutor(threads, thread_name_prefix="decode")
        self.warm = self.draining = False
        self.metrics.adapters.set_function(lambda: len(self.pool.bank.members))
        self.metrics.waiting.set_function(lambda: self.batcher.held)

    @property
    def ready(self) -> bool:
        """Whether new requests should come here."""
        return self.warm and not self.draining and self.batcher.thread.is_alive()

    def start(self) -> None:
        """Answer once, then begin to take requests."""
        side = self.pool.backbone.info.image_size or 1
        work = Work(self.pool.bank, None, np.zeros((3, side, side), np.uint8), "features", math.inf)
        self.compute([work])
        self.batcher.start()
        self.warm = True

    def stop(self) -> None:
        """Answer what was accepted, then end."""
        self.batcher.stop()
        self.decoders.shutdown()

    def member(self, name: str | None) -> tuple[Bank, str, Member]:
        """The adapter of a name, or the one that there is, and the bank in which it will answer.

        Raises:
            HTTPException: There is none.
        """
        bank = self.pool.bank
        if name is None and len(bank.members) != 1:
            raise HTTPException(400, f"There are {len(bank.members)} adapters: say which one (?adapter=NAME).")
        name = next(iter(bank.members)) if name is None else name
        if name not in bank.members:
            none = f"There is no adapter named {name!r}: none is loaded."
            raise HTTPException(404, str(unknown("adapter", name, bank.members)) if bank.members else none)
        return bank, name, bank.members[name]

    async def answers(
        self,
        request: Request,
        bank: Bank,
        task: str | None,
        wants: Wanted,
        sources: Sequence[bytes | np.ndarray],
        whole: bool = False,
    ) -> list[np.ndarray | UserError]:
        """What is wanted of each image, or why it cannot be read.

        Args:
            request: Once its client is gone, or it cannot be answered, nothing more is done for it.
            bank, task, wants: See `Work`.
            sources: Files' bytes, or pixels.
            whole: Whether it cannot be answered where one image cannot be read.

        Raises:
            HTTPException: One cannot be read, of a whole.
            Busy, TooLate: There is no room, or it took too long.
        """
        deadline = time.monotonic() + self.settings.timeout_s

        async def one(i: int, source: bytes | np.ndarray) -> np.ndarray | UserError:
            found = await self._answer(bank, task, wants, source, deadline)
            if whole and isinstance(found, UserError):
                raise HTTPException(400, f"Image {i}: {found}")
            return found

        with self.batcher.room(len(sources)):
            every = [asyncio.ensure_future(one(i, source)) for i, source in enumerate(sources)]
            try:
                return await unless_gone(request, asyncio.gather(*every))
            finally:
                for left in every:
                    left.cancel()

    async def _answer(
        self, bank: Bank, task: str | None, wants: Wanted, source: bytes | np.ndarray, deadline: float
    ) -> np.ndarray | UserError:
        if isinstance(source, bytes):
            loop = asyncio.get_running_loop()
            pixels = await loop.run_in_executor(self.decoders, self._decoded, source, bank, task, deadline)
        else:
            pixels = source
        if isinstance(pixels, UserError):
            return pixels
        return await asyncio.wrap_future(self.batcher.put(Work(bank, task, pixels, wants, deadline)))

    def _decoded(self, data: Any, bank: Bank, task: str | None, deadline: float) -> np.ndarray | UserError:
        """An image as its adapter sees it, or why not; nothing in its place once it is too late, as it is dropped."""
        protocol = bank.members[task].protocol if task else bank.protocol or protocol_for(self.pool.backbone.info)
        with self.metrics.decode.time():
            try:
                late = time.monotonic() > deadline
                return np.empty(0, np.uint8) if late else decode(data, protocol.view(), self.settings.max_pixels)
            except UserError as error:
                return error

    def compute(self, batch: Sequence[Work]) -> list[np.ndarray | Diverged]:
        """The answers of a batch: one pass for each bank that is asked."""
        groups: dict[tuple[int, bool], list[int]] = {}
        for place, work in enumerate(batch):
            self.metrics.queue.observe(time.monotonic() - work.queued)
            groups.setdefault((id(work.bank), work.task is None), []).append(place)
        answers: dict[int, np.ndarray | Diverged] = {}
        for places in groups.values():
            answers |= zip(places, self._pass([batch[place] for place in places]))
        return [answers[place] for place in range(len(batch))]

    @torch.no_grad()
    def _pass(self, works: list[Work]) -> list[np.ndarray | Diverged]:
        bank, tasks = works[0].bank, [work.task for work in works if work.task is not None]
        self.metrics.batch_images.observe(len(works))
        self.metrics.batch_adapters.observe(len(set(tasks)))
        with self.metrics.forward.time():
            device = next(self.pool.backbone.parameters()).device
            images = torch.from_numpy(np.stack([work.pixels for work in works])).to(device)
            features = self.pool.features(images, tasks or None, bank)
            rows = list(features.float())
            for i, (task, logits) in enumerate(zip(tasks, self.pool.scores(features, tasks, bank) if tasks else ())):
                if works[i].wants == "probabilities":
                    rows[i] = bank.members[task].probabilities(logits)
        found = [row.cpu().numpy() for row in rows]
        return [
            row if np.isfinite(row).all() else Diverged("The adapter's answer is NaN or infinite.") for row in found
        ]


async def unless_gone(request: Request, answers: asyncio.Future[list[T]]) -> list[T]:
    """The answers, unless the client hangs up before; then what waits for it is cancelled.

    Raises:
        ClientDisconnect: It has.
    """
    gone: asyncio.Task[Any] = asyncio.ensure_future(hung_up(request))
    answers.add_done_callback(lambda done: done.cancelled() or done.exception())  # else asyncio logs what nobody asks
    try:
        await asyncio.wait({answers, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not answers.done():
            raise ClientDisconnect
        return answers.result()
    finally:
        answers.cancel()
        gone.cancel()


async def hung_up(request: Request) -> None:
    """Return when the client has hung up, all of whose body was read."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
