"""Plan: what is to be run, as the command that runs it, and its price before it begins."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Depends, Form, Query, Request, Response
from pydantic import BaseModel, Field
from starlette.responses import RedirectResponse

from selfprompt import methods
from selfprompt.backbones import RECORDS
from selfprompt.backbones.timm_hub import out_of_reach
from selfprompt.data.sources import names
from selfprompt.data.tables import Kind
from selfprompt.errors import UserError
from selfprompt.files import unused
from selfprompt.methods.base import PromptMethod
from selfprompt.registry import Record
from selfprompt.runs.estimate import spoken
from selfprompt.runs.tune import named_folder
from selfprompt.runs.unnamed import AUTO, GENERAL
from selfprompt.studio.offered import Data, of
from selfprompt.studio.pages import Studio
from selfprompt.studio.work import begin

BACKBONES: dict[Kind, str] = {"image": "builtin", "text": "builtin-text"}


def methods_for(inputs: Kind) -> list[str]:
    """The methods that a page offers: those of such inputs, and for texts what is trained without prompts, too."""

    def suits(record: Record) -> bool:
        plain = not issubclass(record.factory, PromptMethod)
        return record.factory.packaged == BACKBONES[inputs] or (inputs == "text" and plain and record.compared > 0)

    return [name for name, record in methods.RECORDS.items() if suits(record)]


@dataclass(frozen=True)
class Level:
    """How much a run does.

    Args:
        name: What it is called.
        words: What one gets for it.
        method: By the inputs.
        epochs: Of the recipe, by the inputs, where the data are the user's; None for those of the recipe itself.
        embedded: The same where the data are the embedded ones.
    """

    name: str
    words: str
    method: dict[Kind, str]
    epochs: dict[Kind, int | None]
    embedded: int | None


PROMPTS: dict[Kind, str] = {"image": AUTO, "text": "prompt-tuning"}
FAST: dict[Kind, str] = {"image": "linear", "text": "prompt-tuning"}
LEVELS = (
    Level("fast", "A first answer: a head alone, or few epochs.", FAST, {"image": 10, "text": 10}, None),
    Level(
        "balanced",
        "Prompts for less time than published, or of images a linear probe where validation prefers it.",
        PROMPTS,
        {"image": 30, "text": 30},
        None,
    ),
    Level("best", "The same, for as long as published.", PROMPTS, {"image": 100, "text": None}, 100),
)
BY_NAME = {level.name: level for level in LEVELS}


class Wish(BaseModel):
    """What the form says; what is left open is the level's.

    Args:
        level: Of `LEVELS`.
        method, epochs: In the place of the level's.
        backbone: Of those that the page offers.
        seed: Of the run.
    """

    level: str = "balanced"
    method: str = ""
    backbone: str = ""
    epochs: Annotated[int | None, Field(ge=1, le=100_000)] = None
    seed: Annotated[int, Field(ge=0, lt=2**32 - 1)] = 0


def in_query(
    level: str = "balanced",
    method: str = "",
    backbone: str = "",
    epochs: Annotated[str, Query(max_length=6)] = "",
    seed: Annotated[str, Query(max_length=10)] = "",
) -> Wish:
    """The form in an address; a field without a number is empty."""
    return wish(level, method, backbone, epochs, seed)


def in_form(
    level: Annotated[str, Form()] = "balanced",
    method: Annotated[str, Form()] = "",
    backbone: Annotated[str, Form()] = "",
    epochs: Annotated[str, Form(max_length=6)] = "",
    seed: Annotated[str, Form(max_length=10)] = "",
) -> Wish:
    """The form in a body."""
    return wish(level, method, backbone, epochs, seed)


def wish(level: str, method: str, backbone: str, epochs: str, seed: str) -> Wish:
    """The form's fields, read.

    Raises:
        UserError: One is no number, or out of range.
    """
    try:
        count = int(epochs) if epochs else None
        return Wish(level=level, method=method, backbone=backbone, epochs=count, seed=int(seed or 0))
    except ValueError:
        raise UserError("Epochs and seed are whole numbers: epochs from 1, a seed from 0.") from None


def command(data: Data, inputs: Kind, wish: Wish, backbones: list[str]) -> list[str]:
    """The command that a form asks for, without --out.

    Raises:
        HTTPException: It asks for something that is not on the page.
    """
    level = of(BY_NAME, wish.level, "plan")
    method = of(dict.fromkeys(methods_for(inputs), wish.method), wish.method, "method") if wish.method else ""
    method = method or level.method[inputs]
    chosen = wish.backbone and of(dict.fromkeys(backbones, wish.backbone), wish.backbone, "backbone")
    if not chosen and data.words and unless_named(data, inputs) != GENERAL:
        chosen = BACKBONES[inputs]  # so that the command says so where the hub can be reached, too
    words = ["tune", *data.words, "--method", method, *(["--backbone", chosen] if chosen else [])]
    epochs = wish.epochs or (level.epochs[inputs] if data.words else level.embedded)
    words += ["--epochs", str(epochs)] if epochs and (wish.epochs or method != "linear") else []
    return words + (["--seed", str(wish.seed)] if wish.seed else [])


def unless_named(data: Data, inputs: Kind) -> str:
    """The backbone that `selfprompt tune` takes by itself where no hub can be reached."""
    general = inputs == "image" and data.words and data.located not in names() and out_of_reach(GENERAL) is None
    return GENERAL if general else BACKBONES[inputs]


def price(found: dict[str, Any]) -> list[tuple[str, str, str]]:
    """What a run would take, by its estimate: tiles of a name, a value and a note each."""
    share = 100 * found["trainable_parameters"] / found["total_parameters"]
    return [
        ("time", f"about {spoken(found['seconds'])}", f"{found['epochs']} epochs of {found['steps']} steps"),
        ("memory", f"{found['peak_memory_bytes'] / 1e9:.1f} GB", "at most"),
        ("adapter", f"{found['adapter_bytes'] / 1000:,.0f} kB", "prompts and head"),
        ("trained", f"{found['trainable_parameters']:,}", f"{share:.2f} % of the parameters"),
    ]


def backbones_for(inputs: Kind, offered: tuple[str, ...]) -> list[str]:
    """Those that a page offers: the packaged one, and what the command line named."""
    return [name for name in (*offered, BACKBONES[inputs]) if name in offered or name in RECORDS]


def routes(studio: Studio) -> APIRouter:
    """The pages."""
    router, known = APIRouter(prefix="/plan/{name}"), studio.offered.data

    def words_of(name: str, wish: Wish) -> tuple[Data, list[str]]:
        data = of(known, name, "data set")
        inputs = studio.dataset(data).inputs
        return data, command(data, inputs, wish, backbones_for(inputs, studio.offered.backbones))

    @router.get("")
    def page(name: str) -> Response:
        data = of(known, name, "data set")
        inputs, offered = studio.dataset(data).inputs, studio.offered.backbones
        backbones = backbones_for(inputs, offered)
        _, words = words_of(name, Wish(backbone=backbones[0] if offered else ""))
        plain = unless_named(data, inputs)
        rest = {"levels": LEVELS, "methods": methods_for(inputs), "backbones": backbones, "words": words}
        return studio.page("plan.html", data=name, plain=plain, given=bool(offered), **rest)

    @router.get("/price")
    async def priced(request: Request, name: str, wish: Annotated[Wish, Depends(in_query)]) -> Response:
        _, words = await asyncio.to_thread(words_of, name, wish)
        found = await studio.ask(request, [*words, "--estimate"])
        return studio.page("price.html", words=words, price=price(found))

    @router.post("")
    def start(name: str, wish: Annotated[Wish, Depends(in_form)]) -> Response:
        data, words = words_of(name, wish)
        method = words[words.index("--method") + 1]
        folder = unused(studio.offered.out / named_folder(data.located, method))
        begin([*words, "--out", str(folder)], folder)
        return RedirectResponse(f"/runs/{quote(studio.offered.name_of(folder), safe='')}", 303)

    return router
