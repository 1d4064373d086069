"""Drawings that a few words name: shapes, colours, pairs of them, places, numbers, letters and digits."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache, partial
from pathlib import Path
from string import ascii_lowercase

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from selfprompt.data.datasets import Dataset, Examples
from selfprompt.data.examples import Drawn
from selfprompt.data.sources.scenes import FINER, SIDE, apart
from selfprompt.registry import Record

RECORD = Record(
    name="drawings",
    title="Drawings with named classes, generated",
    idea="Coloured shapes, and letters and digits of fonts: a text of a few words says what each class is.",
    parts=("shapes", "colours", "pairs", "places", "numbers", "letters", "digits"),
)
TRAIN, TEST = 24, 24
"""Of each class."""
FULL = SIDE * FINER
COLOURS = {
    **{"red": (220, 30, 30), "green": (30, 160, 50), "blue": (40, 70, 220), "yellow": (245, 220, 40)},
    **{"orange": (245, 140, 20), "purple": (140, 40, 170), "pink": (250, 140, 190), "brown": (120, 75, 35)},
    **{"black": (15, 15, 15), "white": (250, 250, 250), "gray": (128, 128, 128), "cyan": (60, 210, 225)},
}
FONTS = {
    "train": ("DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSansMono", "DejaVuSerif"),
    "test": ("STIXGeneral", "STIXGeneralBol", "STIXGeneralItalic", "cmr10", "cmss10", "cmtt10"),
}
"""Those that come with matplotlib."""
NUMBERS = ("one shape", "two shapes", "three shapes", "four shapes", "five shapes", "six shapes")
PLACES = tuple(
    f"shape {'in the center' if (y, x) == ('', '') else f'at the {y} {x}'.strip() if y else f'on the {x}'}"
    for y in ("top", "", "bottom")
    for x in ("left", "", "right")
)
Point = tuple[float, float]


def around(*turns: float, radius: tuple[float, ...] = (1.0,)) -> list[Point]:
    """Points at angles, as shares of a turn clockwise from the top."""
    return [
        (radius[i % len(radius)] * math.sin(math.tau * t), -radius[i % len(radius)] * math.cos(math.tau * t))
        for i, t in enumerate(turns)
    ]


def even(count: int, radius: tuple[float, ...] = (1.0,), first: float = 0.0) -> list[Point]:
    """Points at even angles."""
    return around(*(first + i / count for i in range(count)), radius=radius)


def mirrored(*half: Point) -> list[Point]:
    """A right half and its mirror image."""
    return [*half, *((-x, y) for x, y in reversed(half))]


HALF = around(*np.linspace(1.0, 0.5, 40))
OUTER, INNER = even(60), [(0.55 * x, 0.55 * y) for x, y in even(60)]
HEART = [
    (0.06 * 16 * math.sin(t) ** 3, -0.06 * (13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t)))
    for t in np.linspace(0, math.tau, 60)
]
OUTLINES: dict[str, list[Point]] = {
    "circle": OUTER,
    "square": [(-0.8, -0.8), (0.8, -0.8), (0.8, 0.8), (-0.8, 0.8)],
    "triangle": even(3),
    "star": even(10, (1.0, 0.42)),
    "cross": mirrored((0.3, -1), (0.3, -0.3), (1, -0.3), (1, 0.3), (0.3, 0.3), (0.3, 1)),
    "ring": [*OUTER, OUTER[0], INNER[0], *reversed(INNER)],
    "heart": HEART,
    "diamond": [(0, -1), (0.65, 0), (0, 1), (-0.65, 0)],
    "hexagon": even(6, first=1 / 12),
    "crescent": [*around(*np.linspace(0.45, 1.05, 40)), *((0.3 + 0.95 * x, 0.95 * y) for x, y in HALF)],
    "arrow": [(-1, -0.25), (0.2, -0.25), (0.2, -0.7), (1, 0), (0.2, 0.7), (0.2, 0.25), (-1, 0.25)],
    "rectangle": [(-1, -0.5), (1, -0.5), (1, 0.5), (-1, 0.5)],
}


@lru_cache
def load(part: str) -> Dataset:
    """24 drawings of each class to train on and 24 to test, of 64 pixels, the same on every machine.

    Of ``pairs`` of a colour and a shape there are 36, which no picture that the built-in image-text model learnt from
    shows, though it knows their words. ``letters`` and ``digits`` are tested in other fonts than trained.
    """
    names, drawn = CLASSES[part]()
    splits = []
    for split, size in (("train", TRAIN), ("test", TEST)):
        labels = np.repeat(np.arange(len(names)), size)
        seeds = [(RECORD.parts.index(part), split == "test", index) for index in range(len(labels))]
        splits.append(Examples(Drawn(partial(one, drawn, split, labels, seeds), len(labels)), labels))
    return Dataset(f"drawings/{part}", names, splits[0], test=splits[1], licence="CC0 (generated)")


Draw = Callable[[int, str, np.random.Generator], np.ndarray]


def one(drawn: Draw, split: str, labels: np.ndarray, seeds: list[tuple[int, ...]], index: int) -> np.ndarray:
    """A picture by its place in a split."""
    return drawn(int(labels[index]), split, np.random.default_rng(seeds[index]))


def held_out(colour: int, shape: int) -> bool:
    """Pairs that the built-in image-text model's scenes never show, by their places in the lists: 36 of 144."""
    return (5 * colour + 3 * shape) % 4 == 0


def of_shapes() -> tuple[tuple[str, ...], Draw]:
    """One of twelve shapes, of any colour."""
    return tuple(OUTLINES), lambda label, _, rng: scene(rng, shape=list(OUTLINES)[label])


def of_colours() -> tuple[tuple[str, ...], Draw]:
    """A shape of one of twelve colours."""
    return tuple(f"{c} shape" for c in COLOURS), lambda label, _, rng: scene(rng, colour=list(COLOURS)[label])


def of_pairs() -> tuple[tuple[str, ...], Draw]:
    """A shape and its colour."""
    pairs = [(c, s) for i, c in enumerate(COLOURS) for j, s in enumerate(OUTLINES) if held_out(i, j)]
    return tuple(f"{c} {s}" for c, s in pairs), lambda label, _, rng: scene(rng, *pairs[label])


def of_places() -> tuple[tuple[str, ...], Draw]:
    """A small shape in one of nine places."""

    def drawn(label: int, _: str, rng: np.random.Generator) -> np.ndarray:
        x, y = (0.18 + 0.32 * np.array([label % 3, label // 3])) + rng.uniform(-0.06, 0.06, 2)
        return scene(rng, at=[(x, y)], radius=(0.11, 0.15))

    return PLACES, drawn


def of_numbers() -> tuple[tuple[str, ...], Draw]:
    """One to six shapes of a kind."""
    return NUMBERS, lambda label, _, rng: scene(rng, at=apart(rng, label + 1, 0.26), radius=(0.09, 0.12))


def of_letters() -> tuple[tuple[str, ...], Draw]:
    """A letter, small or capital."""

    def drawn(label: int, split: str, rng: np.random.Generator) -> np.ndarray:
        letter = ascii_lowercase[label]
        return glyph(letter.upper() if rng.random() < 0.5 else letter, split, rng)

    return tuple(f"letter {letter}" for letter in ascii_lowercase), drawn


def of_digits() -> tuple[tuple[str, ...], Draw]:
    """A printed digit."""
    return tuple(f"digit {i}" for i in range(10)), lambda label, split, rng: glyph(str(label), split, rng)


CLASSES: dict[str, Callable[[], tuple[tuple[str, ...], Draw]]] = {
    "shapes": of_shapes,
    "colours": of_colours,
    "pairs": of_pairs,
    "places": of_places,
    "numbers": of_numbers,
    "letters": of_letters,
    "digits": of_digits,
}


def pick(rng: np.random.Generator, names: list[str]) -> str:
    """One of some names."""
    return names[int(rng.integers(len(names)))]


def near(rng: np.random.Generator, colour: str) -> tuple[int, int, int]:
    """A colour, not quite."""
    red, green, blue = np.clip(np.array(COLOURS[colour]) + rng.integers(-20, 21, 3), 0, 255).tolist()
    return red, green, blue


def scene(
    rng: np.random.Generator,
    colour: str | None = None,
    shape: str | None = None,
    at: list[np.ndarray] | list[Point] | None = None,
    radius: Point = (0.24, 0.36),
) -> np.ndarray:
    """Shapes of one kind and colour on a ground of another, as (64, 64, 3) uint8; what is left open is drawn."""
    colour, shape = colour or pick(rng, list(COLOURS)), shape or pick(rng, list(OUTLINES))
    ground = pick(rng, [c for c in COLOURS if c != colour])
    canvas = Image.new("RGB", (FULL, FULL), near(rng, ground))
    pen, fill = ImageDraw.Draw(canvas), near(rng, colour)
    if at is None:
        size = rng.uniform(*radius)
        radius, at = (size, size), [(rng.uniform(size, 1 - size), rng.uniform(size, 1 - size))]
    for x, y in at:
        turn, size = math.radians(rng.uniform(-20, 20)), rng.uniform(*radius)
        cos, sin = size * math.cos(turn), size * math.sin(turn)
        corners = [(FULL * (x + cos * u - sin * v), FULL * (y + sin * u + cos * v)) for u, v in OUTLINES[shape]]
        pen.polygon(corners, fill=fill)
    return finished(canvas, rng)


def glyph(text: str, split: str, rng: np.random.Generator) -> np.ndarray:
    """A letter or digit in one of a split's fonts, as (64, 64, 3) uint8."""
    import matplotlib  # not before a glyph is drawn: it takes half a second

    file = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / f"{pick(rng, list(FONTS[split]))}.ttf"
    font = ImageFont.truetype(str(file), int(FULL * rng.uniform(0.5, 0.85)))
    colour = pick(rng, list(COLOURS))
    ink = pick(rng, [c for c in COLOURS if abs(sum(COLOURS[c]) - sum(COLOURS[colour])) > 150])
    ground = near(rng, colour)
    canvas = Image.new("RGB", (FULL, FULL), ground)
    place = tuple(FULL * (0.5 + rng.uniform(-0.06, 0.06, 2)))
    ImageDraw.Draw(canvas).text(place, text, fill=near(rng, ink), font=font, anchor="mm")
    return finished(
        canvas.rotate(rng.uniform(-10, 10), Image.Resampling.BICUBIC, fillcolor=canvas.getpixel((0, 0))), rng
    )


def finished(canvas: Image.Image, rng: np.random.Generator) -> np.ndarray:
    """A canvas at its final size, with a little noise."""
    pixels = np.asarray(canvas.resize((SIDE, SIDE), Image.Resampling.BOX), dtype=np.float64)
    return (pixels + rng.normal(0, 4, pixels.shape)).clip(0, 255).astype(np.uint8)
