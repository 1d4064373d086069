"""The grammar of the built-in image-text model's captions: what is true of a picture, and how to say some of it.

A picture carries facts, such as ``is=boat``, ``is=vehicle``, ``colour=red``, ``on=black``, ``look=blurry``; a caption
says a few of them, and is true of every picture that holds all of those. What pictures look like (blurry, inverted,
on black) is said as often as what they show: a prompt among a class's words can then express it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

COLOURS = {
    **{"red": (220, 30, 30), "green": (30, 160, 50), "blue": (40, 70, 220), "yellow": (245, 220, 40)},
    **{"orange": (245, 140, 20), "purple": (140, 40, 170), "pink": (250, 140, 190), "brown": (120, 75, 35)},
    **{"black": (15, 15, 15), "white": (250, 250, 250), "gray": (128, 128, 128), "cyan": (60, 210, 225)},
}
NUMBERS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
LOOKS = {
    "blurry": ["blurry", "blurred", "unsharp"],
    "noisy": ["noisy", "grainy"],
    "inverted": ["inverted", "negative"],
    "black and white": ["black and white", "gray", "grayscale"],
    "low contrast": ["low contrast", "faded"],
    "dark": ["dark"],
    "pixelated": ["pixelated", "low resolution"],
}
MEDIA = {
    "emoji": ["emoji", "cartoon", "picture"],
    "icon": ["icon", "silhouette", "symbol"],
    "outline": ["line drawing", "outline", "sketch"],
    "clip art": ["clip art", "drawing", "cartoon"],
    "glyph": ["picture", "image", "photo"],
    "clothes": ["photo", "picture", "product photo"],
    "scene": ["picture", "image", "drawing"],
}
NOUNS = ["picture", "image", "photo", "drawing", "illustration"]
ADJECTIVES = {"case": 0.35, "style": 0.45, "size": 0.35, "colour": 0.45}
"""What may stand before a name, from the innermost, and how often it does."""


@dataclass(frozen=True)
class Shown:
    """What a picture shows.

    Args:
        medium: A key of `MEDIA`.
        names: What it is, each with the ways to say it; the first is the thing itself, the others kinds of it.
        facts: Further facts: those of `ADJECTIVES`, ``place``, ``on`` (the background) and ``look``.
    """

    medium: str
    names: dict[str, Sequence[str]]
    facts: dict[str, str] = field(default_factory=dict)

    def holds(self) -> set[str]:
        """All that is true of it."""
        own = {f"{key}={value}" for key, value in self.facts.items()}
        return own | {f"is={name}" for name in self.names} | {f"as={self.medium}"}


def caption(shown: Shown, rng: np.random.Generator) -> tuple[str, set[str]]:
    """A caption, and the facts that it says."""

    def chance(p: float) -> bool:
        return bool(rng.random() < p)

    def pick(words: Sequence[str]) -> str:
        return words[rng.integers(len(words))]

    first, *kinds = shown.names
    name = pick(kinds) if kinds and chance(0.3) else first
    said, facts = {f"is={name}"}, shown.facts
    text = pick(shown.names[name])
    word, *rest = text.split()
    if not rest or word not in ("a", "an", *NUMBERS[1:7], *"123456"):
        for key, often in ADJECTIVES.items():
            if key in facts and chance(often):
                text = f"{facts[key]} {text}"
                said.add(f"{key}={facts[key]}")
        several = text.endswith(("s", "clothing")) and not text.endswith("ss")
        text = pick([text if several else article(text), text, f"the {text}"])
    if "place" in facts and chance(0.4):
        text = f"{text} {facts['place']}"
        said.add(f"place={facts['place']}")
    if "on" in facts and chance(0.2):
        text += pick([f" on {article(facts['on'])} background", f" on {facts['on']}"])
        said.add(f"on={facts['on']}")
    if "look" in facts and chance(0.5):
        said.add(f"look={facts['look']}")
        return f"{article(pick(LOOKS[facts['look']]))} {pick(NOUNS)} of {text}", said
    if chance(0.35):
        return text, said
    if shown.medium in ("emoji", "icon", "outline", "clip art") and chance(0.5):
        said.add(f"as={shown.medium}")
        return f"{article(pick(MEDIA[shown.medium]))} of {text}", said
    return f"{article(pick(NOUNS))} of {text}", said


def article(words: str) -> str:
    """Words after their indefinite article."""
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"
