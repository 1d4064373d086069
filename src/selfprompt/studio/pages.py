"""What all pages share: what may be read, what was read already, and how a page is made."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Sequence
from pathlib import Path
from threading import Event, Lock, RLock
from typing import Any
from urllib.parse import quote

from fastapi import HTTPException, Request
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import HTMLResponse

from selfprompt.data.datasets import Dataset, Splits
from selfprompt.data.recorded import splits_for
from selfprompt.data.sources import load_located
from selfprompt.errors import UserError
from selfprompt.markup import visible
from selfprompt.runs.config import NAME as RUN
from selfprompt.runs.config import RunConfig, read_run
from selfprompt.serving.repository import Repository
from selfprompt.serving.server import GONE
from selfprompt.serving.service import Service
from selfprompt.studio.offered import Data, Offered
from selfprompt.studio.work import EVERY, ask, begun_in, state

ASKED = 2
"""Commands that pages wait for, at a time."""


class Studio:
    """What the pages are about.

    Args:
        offered: What may be read.
        service: The server in whose process they are.
        repository: What loads adapters into its pool.
    """

    def __init__(self, offered: Offered, service: Service, repository: Repository) -> None:
        self.offered, self.service, self.repository = offered, service, repository
        self.computing, self.reading = Lock(), RLock()  # a page asks for many images at once
        self.turns = asyncio.Semaphore(ASKED)
        self._datasets: dict[str, Dataset] = {}
        self._splits: dict[str, Splits] = {}
        self.templates = Environment(
            loader=PackageLoader("selfprompt.studio"),
            autoescape=True,
            trim_blocks=True,
            lstrip_blocks=True,
            undefined=StrictUndefined,
        )
        self.templates.filters |= {"at": lambda name: quote(str(name), safe=""), "visible": visible}
        self.templates.globals["shown"] = shlex.quote

    def page(self, template: str, status: int = 200, **values: Any) -> HTMLResponse:
        """A page, or a part of one."""
        return HTMLResponse(self.render(template, **values), status)

    def render(self, template: str, **values: Any) -> str:
        """The text of a page, or of a part of one."""
        return self.templates.get_template(template).render(**values)

    def problem(self, request: Request, words: str, status: int) -> HTMLResponse:
        """What is wrong, as a page, or as a part of the one that asked."""
        part = "hx-request" in request.headers
        return self.page("problem_part.html" if part else "problem.html", status, words=words)

    async def ask(self, request: Request, words: Sequence[str]) -> dict[str, Any]:
        """The one JSON object that a command prints; it waits for its turn, and ends when nobody waits for it.

        Raises:
            HTTPException: Nobody does.
            UserError: It prints none.
        """
        gone = Event()
        async with self.turns:
            if self.service.draining or await request.is_disconnected():
                raise HTTPException(GONE, "Nobody waits for it.")
            asked = asyncio.create_task(asyncio.to_thread(ask, words, gone.is_set))
            try:
                while not (await asyncio.wait([asked], timeout=EVERY))[0]:
                    if self.service.draining or await request.is_disconnected():
                        gone.set()
                return asked.result()
            finally:
                gone.set()

    def dataset(self, data: Data, anew: bool = False) -> Dataset:
        """A data set, read when it is first asked for.

        Raises:
            UserError: It is not in order.
        """
        with self.reading:
            if anew or data.located not in self._datasets:
                self._datasets[data.located] = load_located(data.located)
            return self._datasets[data.located]

    def tested(self, folder: Path) -> Splits:
        """The splits of a run, whose data may be read.

        Raises:
            UserError: They may not, or are gone.
        """
        config = read_run(folder)
        data = self.must_be_offered(config)
        key = str(folder.resolve())
        with self.reading:
            if key not in self._splits:
                dataset = self.dataset(data)
                self._splits[key] = splits_for(dataset, config.protocol, folder, whole=False, seed=config.seed)
            return self._splits[key]

    def must_be_offered(self, config: RunConfig) -> Data:
        """The data of a run, which also may have its backbone.

        Raises:
            UserError: They, or a backbone that is a file, were not named on the command line.
        """
        self.offered.must_have(config.backbone)
        data = self.offered.data_of(config.data)
        if data is None:
            given = shlex.quote(config.data)
            raise UserError(f"The data of this run were not offered: give {given} to selfprompt studio, too.")
        return data

    def steps(self, name: str) -> dict[str, Any]:
        """What the row of steps of a run or an adapter needs to know.

        Raises:
            HTTPException: There is none of that name.
        """
        folder = self.offered.folder(name)
        config: RunConfig | None = read_run(folder) if (folder / RUN).is_file() else None
        begun = begun_in(folder)
        words = [] if begun is None or config else begun.words[1:2]  # tune [DATA], where it left no run.json
        given = tuple(word for word in words if not word.startswith("--"))
        data = [
            one.name
            for one in self.offered.data.values()
            if (one.located == config.data if config else words and one.words == given)
        ]
        known = {"name": name, "folder": folder, "state": state(folder), "config": config}
        return {**known, "data": data[0] if data else None}
