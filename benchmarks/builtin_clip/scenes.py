"""Scenes of coloured shapes for the built-in image-text model, drawn as SVG (CC0)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from builtin_clip.captions import COLOURS, NUMBERS, Shown, article

STAR = [((1, 0.42)[i % 2], i * math.pi / 5) for i in range(10)]
SHAPES = {
    "circle": "M1 0A1 1 0 1 1-1 0A1 1 0 1 1 1 0Z",
    "square": "M-.8-.8H.8V.8H-.8Z",
    "triangle": "M0-1L.9 .7H-.9Z",
    "star": "M" + "L".join(f"{r * math.sin(a):.3f} {-r * math.cos(a):.3f}" for r, a in STAR) + "Z",
    "cross": "M-.3-1H.3V-.3H1V.3H.3V1H-.3V.3H-1V-.3H-.3Z",
    "ring": "M1 0A1 1 0 1 1-1 0A1 1 0 1 1 1 0ZM.55 0A.55 .55 0 1 0-.55 0A.55 .55 0 1 0 .55 0Z",
    "heart": "M0 .95C-1.7-.2-.8-1.3 0-.5C.8-1.3 1.7-.2 0 .95Z",
    "diamond": "M0-1L.65 0L0 1L-.65 0Z",
    "hexagon": "M1 0L.5 .87H-.5L-1 0L-.5-.87H.5Z",
    "crescent": "M.3-.95A1 1 0 1 0 .3 .95A.78 .78 0 1 1 .3-.95Z",
    "arrow": "M-1-.25H.2V-.7L1 0L.2 .7V.25H-1Z",
    "rectangle": "M-1-.5H1V.5H-1Z",
}  # fmt: skip


def held_out(colour: str, shape: str) -> bool:
    """Pairs that no scene shows, 36 of 144: to ask for a composition whose words alone are known."""
    return (list(COLOURS).index(colour) * 5 + list(SHAPES).index(shape) * 3) % 4 == 0


def scenes(rng: np.random.Generator) -> Iterator[tuple[str, Shown]]:
    """Without end: one shape with size and place, one to six of a kind, or two and how they stand."""
    colours, shapes = list(COLOURS), list(SHAPES)

    def of(colour: str) -> str:
        return "rgb({},{},{})".format(*np.clip(np.array(COLOURS[colour]) + rng.integers(-22, 23, 3), 0, 255))

    while True:
        ground = colours[rng.integers(len(colours))]
        pairs = [(c, s) for c in colours for s in shapes if c != ground and not held_out(c, s)]
        (colour, shape), (other, second) = (pairs[i] for i in rng.integers(len(pairs), size=2))
        facts, drawn, kind = {"on": ground}, [], rng.random()
        if kind < 0.45:
            large = rng.random() < 0.5
            r = rng.uniform(0.26, 0.38) if large else rng.uniform(0.11, 0.17)
            x, y = rng.uniform(r, 1 - r, 2)
            drawn = [(shape, of(colour), x, y, r)]
            names: dict[str, Sequence[str]] = {shape: (shape,), "shape": ("shape", "object")}
            names |= {words[0]: words for words in (counted(1, shape), counted(1, f"{colour} {shape}"))}
            facts |= {"colour": colour, "size": "large" if large else "small"}
            if not large:
                facts["place"] = place(x, y)
        elif kind < 0.75:
            count, ink = int(rng.integers(1, 7)), of(colour)
            drawn = [(shape, ink, x, y, rng.uniform(0.09, 0.12)) for x, y in apart(count, rng)]
            many = [counted(count, word) for word in (shape, f"{colour} {shape}", "shape")]
            names = {words[0]: words for words in many}
        else:
            (a, b), (u, v) = (rng.uniform(0.18, 0.34), rng.uniform(0.66, 0.82)), rng.uniform(0.3, 0.7, 2)
            above = rng.random() < 0.5
            first, last = ((u, a), (v, b)) if above else ((a, u), (b, v))
            drawn = [
                (shape, of(colour), *first, rng.uniform(0.13, 0.17)),
                (second, of(other), *last, rng.uniform(0.13, 0.17)),
            ]
            one, two = article(f"{colour} {shape}"), article(f"{other} {second}")
            there, back = ("above", "below") if above else ("left of", "right of")
            relation = f"{one} {there} {two}"
            names = {
                relation: (relation, f"{two} {back} {one}"),
                f"{one} and {two}": (f"{one} and {two}", f"{two} and {one}"),
            }
        body = ""
        for s, fill, x, y, r in drawn:
            moved = f"translate({x:.3f} {y:.3f}) rotate({rng.uniform(-20, 20):.0f}) scale({r:.3f})"
            body += f'<path d="{SHAPES[s]}" fill="{fill}" transform="{moved}"/>'
        yield svg(1, f'<rect width="1" height="1" fill="{of(ground)}"/>{body}'), Shown("scene", names, facts)


def counted(count: int, thing: str) -> Sequence[str]:
    """A number of things, by its word and its digit."""
    ending = "" if count == 1 else "es" if thing.endswith("s") else "s"
    return [f"{word} {thing}{ending}" for word in (NUMBERS[count], NUMBERS[count], str(count))]


def place(x: float, y: float) -> str:
    """Where a point of the unit square lies."""
    row = "top" if y < 0.36 else "bottom" if y > 0.64 else ""
    column = "left" if x < 0.36 else "right" if x > 0.64 else ""
    if row:
        return f"at the {row} {column}".strip()
    return f"on the {column}" if column else "in the center"


def apart(count: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Points of the unit square that keep their distance."""
    points: list[np.ndarray] = []
    while len(points) < count:
        point = rng.uniform(0.14, 0.86, 2)
        if all(np.hypot(*(point - other)) > 0.26 for other in points):
            points.append(point)
        elif rng.random() < 0.02:
            points = []
    return points


def svg(side: float, body: str) -> str:
    """A square drawing."""
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {side} {side}" width="64" height="64">{body}</svg>'
