"""Run: its curve while it learns, stop and resume; everything is read from the run's folder."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, Response
from starlette.responses import HTMLResponse, RedirectResponse, StreamingResponse

from selfprompt.adapters.format import WEIGHTS_NAME
from selfprompt.errors import UserError
from selfprompt.files import json_object, read_text
from selfprompt.reports.page import NAME as REPORT
from selfprompt.reports.run import tiles
from selfprompt.runs.config import NAME as RUN
from selfprompt.runs.config import RunConfig
from selfprompt.scores.asked import WORDS
from selfprompt.studio.offered import file_in
from selfprompt.studio.pages import Studio
from selfprompt.studio.work import EVERY, begin, begun_in, said, shown, state, stop, working
from selfprompt.tuning.records import METRICS, Metrics, Tested, read_metrics

WIDTH, HEIGHT = 320, 120  # of a curve, in the units of its picture
ALONE = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:"  # what a report's page needs


@dataclass(frozen=True)
class Curve:
    """A line over epochs, or several, drawn to one scale.

    Args:
        title: What is drawn.
        lines: Each line's name and corners.
        low, high: The ends of the scale.
        last: What the lines end with.
    """

    title: str
    lines: list[tuple[str, str]]
    low: float
    high: float
    last: list[tuple[str, float]]


def curve(title: str, epochs: int, lines: Mapping[str, Sequence[float]]) -> Curve | None:
    """Lines of at least one value each over so many epochs; None where there are none."""
    lines = {name: values for name, values in lines.items() if values}
    values = [value for line in lines.values() for value in line]
    if not values:
        return None
    low, high = min(values), max(values)
    span = (high - low) or 1.0

    def corners(line: Sequence[float]) -> str:
        step = WIDTH / max(1, epochs - 1)
        return " ".join(f"{i * step:.1f},{HEIGHT * (high - value) / span:.1f}" for i, value in enumerate(line))

    drawn = [(name, corners(line)) for name, line in lines.items()]
    return Curve(title, drawn, low, high, [(name, line[-1]) for name, line in lines.items()])


def progress(folder: Path) -> dict[str, Any]:
    """What a folder says of its run now."""
    history = history_in(folder)
    epochs = epochs_in(folder)

    def column(name: str) -> list[float]:
        return [row[name] for row in history if name in row]

    losses = {"training": column("train_loss"), "validation": column("val_loss")}
    others = {f"Validation {words}, %": column(f"val_{name}") for name, words in WORDS.items() if name != "top1"}
    drawn = (
        curve("Loss", epochs, losses),
        curve("Validation accuracy, %", epochs, {"validation": column("val_accuracy")}),
        *(curve(title, epochs, {"validation": values}) for title, values in others.items()),
    )
    return {
        "state": state(folder),
        "epoch": len(history),
        "epochs": epochs,
        "curves": [one for one in drawn if one],
        "said": said(folder),
        "width": WIDTH,
        "height": HEIGHT,
    }


def asked(folder: Path) -> str:
    """The command that made a run, or makes it now."""
    if (folder / "command.txt").is_file():
        return read_text(folder / "command.txt", "remove it").strip()
    begun = begun_in(folder)
    return "" if begun is None else shown(begun.words)


def epochs_in(folder: Path) -> int:
    """How many a run has, by run.json as it stands; 0 where that does not say."""
    try:
        epochs = json.loads((folder / RUN).read_bytes())["recipe"]["epochs"]
        return epochs if isinstance(epochs, int) else 0
    except (OSError, ValueError, LookupError, TypeError):
        return 0


def history_in(folder: Path) -> list[dict[str, float]]:
    """The epochs that are done; a line that is damaged is left out."""
    path, rows = folder / "log.jsonl", []
    with suppress(UserError):
        for line in read_text(path, "remove it").splitlines():
            with suppress(UserError):
                found = json_object(line, path, "remove it")
                rows.append({name: value for name, value in found.items() if isinstance(value, (int, float))})
    return rows


def numbers(folder: Path, config: RunConfig | None) -> list[tuple[str, str, str]]:
    """What a run measured, as tiles; none as long as it was not tested.

    Raises:
        UserError: What it measured is damaged.
    """
    if config is None or not (folder / METRICS).is_file() or not (folder / WEIGHTS_NAME).is_file():
        return []
    if read_metrics(folder, Metrics)["test_accuracy"] is None:
        return []
    return tiles(read_metrics(folder, Tested), folder, config.protocol.inputs)


def event(text: str) -> str:
    """A server-sent event."""
    return "".join(f"data: {line}\n" for line in text.splitlines()) + "\n"


def there(name: str) -> Response:
    """The way back to a run's page."""
    return RedirectResponse(f"/runs/{quote(name, safe='')}", 303)


def routes(studio: Studio) -> APIRouter:
    """The pages."""
    router = APIRouter(prefix="/runs/{name}")

    @router.get("")
    def page(name: str) -> Response:
        steps = studio.steps(name)
        folder = steps["folder"]
        if steps["state"] == "adapter":
            return RedirectResponse(f"/adapters/{quote(name, safe='')}/try", 303)
        rest = {
            "tiles": numbers(folder, steps["config"]),
            "asked": asked(folder),
            "report": (folder / REPORT).is_file(),
            "ours": working(folder) is not None,
            "resume": ["tune", "--resume", str(folder)],
        }
        return studio.page("run.html", **steps, **rest, live=progress(folder))

    @router.get("/events")
    def events(name: str) -> Response:
        folder = studio.offered.folder(name)

        async def stream() -> AsyncIterator[str]:
            last = ""
            while not studio.service.draining:
                try:
                    now = await asyncio.to_thread(progress, folder)
                except UserError:  # which the page itself says
                    yield "event: end\ndata: \n\n"
                    return
                if (text := studio.render("live.html", live=now)) != last:
                    yield event(text)
                    last = text
                if now["state"] != "running":
                    yield "event: end\ndata: \n\n"
                    return
                await asyncio.sleep(EVERY)

        return StreamingResponse(stream(), media_type="text/event-stream")

    @router.post("/stop")
    def stopped(name: str) -> Response:
        stop(studio.offered.folder(name))
        return there(name)

    @router.post("/resume")
    def resumed(name: str) -> Response:
        steps = studio.steps(name)
        if steps["config"] is None:
            raise UserError(f"{steps['folder']} holds no run to resume: start it again from its plan.")
        studio.must_be_offered(steps["config"])
        begin(["tune", "--resume", str(steps["folder"])], steps["folder"])
        return there(name)

    @router.get("/report")
    def report(name: str) -> Response:
        text = file_in(studio.offered.folder(name), REPORT).read_bytes()
        return HTMLResponse(text, headers={"Content-Security-Policy": ALONE})

    return router
