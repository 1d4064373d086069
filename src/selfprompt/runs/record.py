"""What a run leaves to look at: analysis.json, and the images that it speaks of side by side in thumbnails.png.

Of texts there are no thumbnails: analysis.json has the texts themselves.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, model_validator

from selfprompt.data.checks.findings import Findings
from selfprompt.data.tables import Kind
from selfprompt.errors import UserError
from selfprompt.files import damaged, read_as, replace_file

NAME, THUMBNAILS = "analysis.json", "thumbnails.png"
FIX = "remove it, and selfprompt report makes it again"
SIDE = 112  # pixels of a thumbnail
MISTAKES, LOOKS, PROMPTS = 9, 9, 9

Count = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Shown = tuple[Literal["train", "test"], int]
"""An image that has a thumbnail: of the training images, on which validation images are counted, or the test's."""


class Found(BaseModel):
    """A part of the record."""

    model_config = ConfigDict(frozen=True)


class Patch(Found):
    """A patch of a training image (validation images are counted on behind these), by row and column."""

    image: Count
    row: Count
    column: Count


class Near(Patch):
    """One near to a prompt, by cosine similarity."""

    similarity: float


class Prompt(Found):
    """One prompt: see `selfprompt.analyse`. What is not known is None."""

    layer: Count
    prompt: Count
    source: Patch | None = None
    nearest: list[Near]
    attention: float | None = None
    saliency: float | None = None
    leave_one_out: float | None = None
    moved: float | None = None
    turned: float | None = None


class Layer(Found):
    """One block that meets prompts."""

    layer: Count
    attention_to_prompts: float
    mutual_information: float | None = None


class Snapshot(Found):
    """Prompts after an epoch, by layer."""

    epoch: Count
    mutual_information: list[float]


class PromptAnalysis(Found):
    """What the prompts became: see `selfprompt.analyse`."""

    method: str
    images: Count
    layers: list[Layer]
    prompts: Annotated[list[Prompt], Field(min_length=1)]
    training: list[Snapshot]

    @property
    def pictured(self) -> dict[int, list[Prompt]]:
        """The prompts that are shown: the first ones of the first, the middle and the last layer."""
        layers = sorted({row.layer for row in self.prompts})
        chosen = sorted({layers[0], layers[len(layers) // 2], layers[-1]})
        return {layer: [row for row in self.prompts if row.layer == layer][:PROMPTS] for layer in chosen}


class NearWord(Found):
    """A word near to a prompt, by Euclidean distance."""

    word: str
    distance: Annotated[float, Field(ge=0)]


class TextAnalysis(Found):
    """What the classes' texts became: see `selfprompt.analysis.texts.look_at_texts`."""

    similarity: list[list[float]]
    nearest: list[list[NearWord]] | None = None


class NearToken(Found):
    """A word near to a prompt, by cosine similarity."""

    word: str
    similarity: float


class Words(Found):
    """The words nearest to a prompt: see `selfprompt.analysis.words.look_at_words`."""

    layer: Count
    prompt: Count
    nearest: list[NearToken]


class Mistake(Found):
    """A test image, or text, that is answered wrongly; the name of a text is the text."""

    image: Count
    name: str
    label: Count
    predicted: Count
    probability: Share


class Look(Found):
    """What the answer for a test image rests on, by patch; and where the last block's attention is, with prompts."""

    image: Count
    predicted: Count
    relevance: list[float]
    attention: list[float] | None = None


class WordLook(Found):
    """What the answer for a test text rests on, by word: see `selfprompt.analysis.word_relevance`."""

    image: Count
    predicted: Count
    words: list[str]
    relevance: list[Share]
    attention: list[float] | None = None
    attention_to_prompts: float | None = None


class Analysis(Found):
    """Everything that the page of a run shows and a model must be asked for.

    Args:
        classes: Their names.
        confusion: (true class, predicted class, test images), where there are any.
        mistakes: The surest ones.
        looks: Some test images.
        class_token: Whether it is a class token that looks.
        grid: Patches in a row of an image.
        prompts: None where images meet none.
        texts: None where classes are no texts.
        inputs: What was classified.
        words: Nearest to the prompts of a language model.
        word_looks: Some test texts.
        data: What a look at the examples found; None where nobody looked.
    """

    classes: list[str]
    confusion: list[tuple[Count, Count, Count]]
    mistakes: list[Mistake]
    looks: list[Look] = []
    class_token: bool = False
    grid: Annotated[int, Field(ge=1)] = 1
    prompts: PromptAnalysis | None = None
    texts: TextAnalysis | None = None
    inputs: Kind = "image"
    words: list[Words] = []
    word_looks: list[WordLook] = []
    data: Findings | None = None

    @model_validator(mode="after")
    def _whole(self) -> Analysis:
        named = [c for true, predicted, _ in self.confusion for c in (true, predicted)]
        named += [c for wrong in self.mistakes for c in (wrong.label, wrong.predicted)]
        named += [look.predicted for look in (*self.looks, *self.word_looks)]
        if max(named, default=0) >= len(self.classes):
            raise ValueError("it names a class that there is not")
        maps = [m for look in self.looks for m in (look.relevance, look.attention) if m is not None]
        if any(len(values) != self.grid**2 for values in maps):
            raise ValueError("a map is not of the patches")
        if any(len(look.words) != len(m) for look in self.word_looks for m in (look.relevance, look.attention) if m):
            raise ValueError("what a text rests on is not of its words")
        if self.texts and {len(self.classes)} != {
            len(row) for row in (self.texts.similarity, *self.texts.similarity)
        }:
            raise ValueError("similarities are not those of the classes")
        return self

    @property
    def shown(self) -> list[Shown]:
        """The images that a page shows, in the order of thumbnails.png."""
        if self.inputs == "text":
            return []
        patches = [
            patch
            for rows in (self.prompts.pictured if self.prompts else {}).values()
            for row in rows
            for patch in (row.source, *row.nearest[:1])
            if patch
        ]
        found: list[Shown] = [("test", one.image) for one in (*self.mistakes, *self.looks)]
        return [*dict.fromkeys([*found, *(("train", patch.image) for patch in patches)])]


def thumbnail(pixels: np.ndarray) -> Image.Image:
    """(3, S, S) uint8 to a picture of a page's size; small ones keep their square pixels."""
    image = Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0)))
    scale = Image.Resampling.NEAREST if image.width < SIDE else Image.Resampling.LANCZOS
    return image.resize((SIDE, SIDE), scale)


def write_analysis(folder: Path, found: Analysis, thumbnails: Mapping[Shown, Image.Image]) -> None:
    """Write both files, analysis.json last."""
    if found.inputs == "image":
        sheet, out = Image.new("RGB", (SIDE * len(found.shown), SIDE)), io.BytesIO()
        for place, shown in enumerate(found.shown):
            sheet.paste(thumbnails[shown], (SIDE * place, 0))
        sheet.save(out, format="PNG")
        replace_file(folder / THUMBNAILS, out.getvalue())
    replace_file(folder / NAME, found.model_dump_json(exclude_none=True) + "\n")


def read_analysis(folder: Path) -> tuple[Analysis, dict[Shown, Image.Image]]:
    """What a run found, and the thumbnails.

    Raises:
        UserError: It is missing or damaged.
    """
    if not (folder / NAME).is_file():
        raise UserError(f"The run in {folder} has no {NAME}: selfprompt report {folder} makes it.")
    found = read_as(folder / NAME, Analysis, FIX)
    if found.inputs == "text":
        return found, {}
    fix = f"remove it and {NAME}, and selfprompt report makes them again"
    try:
        with Image.open(folder / THUMBNAILS) as image:
            sheet = image.convert("RGB")
    except Exception as error:  # a damaged file makes its decoder raise anything
        raise damaged(folder / THUMBNAILS, f"{type(error).__name__}", fix) from None
    if sheet.size != (SIDE * len(found.shown), SIDE):
        raise damaged(folder / THUMBNAILS, f"it is not the one of {NAME}", fix)
    places = {shown: SIDE * place for place, shown in enumerate(found.shown)}
    return found, {shown: sheet.crop((left, 0, left + SIDE, SIDE)) for shown, left in places.items()}
