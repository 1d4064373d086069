"""Parts of a page about texts: the surest mistakes, what answers rest on, the words that prompts are nearest to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from selfprompt.reports.page import Section
from selfprompt.runs.record import PROMPTS, Analysis, WordLook, Words

LONGEST = 400  # letters of a text in a page
WORDS = 120  # pieces of a text in a page


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


def looks_section(found: Sequence[WordLook], classes: Sequence[str]) -> Section:
    """What the answers for some test texts rest on."""
    marked = []
    for look in found:
        told = classes[look.predicted]
        if look.attention_to_prompts:
            told += f" (last attention to prompts: {100 * look.attention_to_prompts:.0f} %)"
        most = max(look.relevance, default=0) or 1
        marked.append((told, [(word, value / most) for word, value in zip(look.words, look.relevance)][:WORDS]))
    words = (
        "Test texts with the predicted class, in the template. The deeper a word's colour, the more the answer's "
        "score follows its embedding (length of the gradient, arXiv 1506.01066), beside the strongest of the text."
    )
    return Section("Which words answers rest on", words, marked=marked)


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
