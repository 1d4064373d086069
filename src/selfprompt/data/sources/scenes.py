"""Generated scenes whose labels are exact: counting, distance, orientation and location."""

from __future__ import annotations

from functools import lru_cache, partial

import numpy as np
from PIL import Image, ImageDraw

from selfprompt.data.datasets import Dataset, Examples
from selfprompt.data.examples import Drawn
from selfprompt.registry import Record

RECORD = Record(
    name="scenes",
    title="Structured scenes, generated",
    idea="Shapes on a noisy ground; the label is how many, how far apart, at which angle, or where.",
    parts=("count", "distance", "orientation", "location"),
)
SIDE, FINER = 64, 4
TRAIN, TEST = 1_200, 1_000
BINS = 6


@lru_cache
def load(part: str) -> Dataset:
    """1,200 scenes to train on and 1,000 to test, each class equally often, the same on every machine.

    In the manner of VTAB-1K's structured group. ``count``: one to six shapes that do not touch. ``distance``: two
    discs, their distance in six bins. ``orientation``: a bar, its angle in six bins of 30 degrees. ``location``: a
    shape among smaller dots, its horizontal place in six bins. Within a bin the value is drawn anew for each image.
    """
    names = tuple(str(i + 1) for i in range(BINS)) if part == "count" else tuple(f"bin {i}" for i in range(BINS))
    splits = []
    for name, size in (("train", TRAIN), ("test", TEST)):
        labels = np.arange(size, dtype=np.int64) % BINS
        seeds = [(RECORD.parts.index(part), name == "test", index) for index in range(size)]
        splits.append(Examples(Drawn(partial(one, part, labels, seeds), size), labels))
    return Dataset(f"scenes/{part}", names, splits[0], test=splits[1], licence="CC0 (generated)")


def one(part: str, labels: np.ndarray, seeds: list[tuple[int, ...]], index: int) -> np.ndarray:
    """A scene by its place in a split."""
    return draw_scene(part, int(labels[index]), np.random.default_rng(seeds[index]))


def draw_scene(part: str, label: int, rng: np.random.Generator) -> np.ndarray:
    """One scene as a (64, 64, 3) uint8 array."""
    side = SIDE * FINER
    canvas = Image.new("RGB", (side, side), colour(rng, 0, 110))
    pen = ImageDraw.Draw(canvas)
    if part == "count":
        for x, y in apart(rng, label + 1, 0.24):
            shape(pen, rng, x, y, rng.uniform(0.07, 0.11))
    elif part == "distance":
        distance = (0.2 + 0.1 * (label + rng.uniform(0.1, 0.9))) * 1.0
        while True:
            (x, y), angle = rng.uniform(0.1, 0.9, 2), rng.uniform(0, 2 * np.pi)
            u, v = x + distance * np.cos(angle), y + distance * np.sin(angle)
            if 0.1 <= u <= 0.9 and 0.1 <= v <= 0.9:
                break
        for where in ((x, y), (u, v)):
            disc(pen, *where, 0.07, colour(rng, 130, 255))
    elif part == "orientation":
        angle = np.pi * (label + rng.uniform(0.05, 0.95)) / BINS
        (x, y), length, width = rng.uniform(0.35, 0.65, 2), rng.uniform(0.2, 0.3), rng.uniform(0.04, 0.07)
        along = np.array([np.cos(angle), -np.sin(angle)])
        across = width * np.array([along[1], -along[0]])
        corners = [length * a * along + b * across + (x, y) for a, b in ((-1, -1), (-1, 1), (1, 1), (1, -1))]
        pen.polygon([tuple(side * c) for c in corners], fill=colour(rng, 130, 255))
    else:
        for x, y in rng.uniform(0.05, 0.95, (6, 2)):
            disc(pen, x, y, 0.025, colour(rng, 130, 255))
        shape(pen, rng, 0.1 + 0.8 * (label + rng.uniform(0.05, 0.95)) / BINS, rng.uniform(0.15, 0.85), 0.1)
    pixels = np.asarray(canvas.resize((SIDE, SIDE), Image.Resampling.BOX), dtype=np.float64)
    return (pixels + rng.normal(0, 6, pixels.shape)).clip(0, 255).astype(np.uint8)


def colour(rng: np.random.Generator, low: int, high: int) -> tuple[int, int, int]:
    """A colour whose channels lie in a range."""
    red, green, blue = rng.integers(low, high, 3).tolist()
    return red, green, blue


def apart(rng: np.random.Generator, count: int, least: float) -> list[np.ndarray]:
    """Places in the picture, none nearer to another than ``least``."""
    places: list[np.ndarray] = []
    while len(places) < count:
        place = rng.uniform(0.13, 0.87, 2)
        if all(np.linalg.norm(place - other) > least for other in places):
            places.append(place)
    return places


def disc(pen: ImageDraw.ImageDraw, x: float, y: float, radius: float, fill: tuple[int, int, int]) -> None:
    """A disc; lengths are shares of the side."""
    side = SIDE * FINER
    pen.ellipse([side * (x - radius), side * (y - radius), side * (x + radius), side * (y + radius)], fill=fill)


def shape(pen: ImageDraw.ImageDraw, rng: np.random.Generator, x: float, y: float, radius: float) -> None:
    """A disc, a square or a triangle."""
    kind, fill = rng.integers(3), colour(rng, 130, 255)
    if kind == 0:
        disc(pen, x, y, radius, fill)
    else:
        side = SIDE * FINER
        pen.regular_polygon((side * x, side * y, side * radius), int(kind) + 2, int(rng.integers(90)), fill=fill)
