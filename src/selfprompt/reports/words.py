"""Parts of a page about texts: the surest mistakes, and the words that prompts are nearest to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from selfprompt.reports.page import Section
from selfprompt.runs.record import PROMPTS, Analysis, Words

LONGEST = 400  # letters of a text in a page


def mistakes_table(found: Analysis) -> tuple[Sequence[Any], Sequence[Sequence[Any]]]:
    """The head and rows of a table: wrong answers with the texts that they are for."""
    rows = [
        (
            found.classes[one.label],
            found.classes[one.predicted],
            f"{100 * one.probability:.0f} %",
            shortened(one.name),
        )
        for one in found.mistakes
    ]
    return ("true", "predicted", "sure", "text"), rows


def shortened(text: str) -> str:
    """The beginning of a text, as much of it as a page shows."""
    return text if len(text) <= LONGEST else text[:LONGEST] + " ..."


def words_section(found: Sequence[Words]) -> Section:
    """The words that the first prompts of the first, the middle and the last block are nearest to."""
    layers = sorted({row.layer for row in found})
    chosen = {layers[0], layers[len(layers) // 2], layers[-1]}
    rows = [
        (
            f"block {row.layer + 1}, prompt {row.prompt + 1}" if len(layers) > 1 else f"prompt {row.prompt + 1}",
            *(f"{near.word} ({near.similarity:.2f})" for near in row.nearest),
        )
        for row in found
        if row.layer in chosen and row.prompt < PROMPTS
    ]
    words = (
        "The words nearest to each prompt, by cosine: of the whole vocabulary for prompts among words, of training "
        "texts, as the same block sees them, for deep ones. Prompts are no words: these are a hint at most."
    )
    return Section(
        "Which words prompts are near to", words, head=("", "nearest (cosine)", "second", "third"), rows=rows
    )
