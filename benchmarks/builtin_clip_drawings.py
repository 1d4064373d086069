"""Clothes and scenes for the built-in image-text model's corpus, drawn as SVG, from nobody's picture (CC0)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from builtin_clip_captions import COLOURS, NUMBERS, Shown, article

CLOTHES = {
    "t shirt": ("t shirt", "t-shirt", "tee", "t-shirt/top", "t shirt or top"),
    "pullover": ("pullover", "sweater", "jumper"),
    "trousers": ("trousers", "trouser", "pair of trousers", "pants", "jeans"),
    "dress": ("dress",),
    "coat": ("coat", "jacket", "overcoat"),
    "sandal": ("sandal", "womans sandal", "thong sandal"),
    "shirt": ("shirt", "dress shirt", "blouse"),
    "sneaker": ("sneaker", "running shoe", "trainer", "shoe sneaker", "sport shoe"),
    "bag": ("bag", "handbag", "purse", "clutch bag"),
    "ankle boot": ("ankle boot", "boot", "womans boot", "hiking boot"),
}
"""Each thing and the ways to say it."""
SHAPES = {
    "circle": "M1 0A1 1 0 1 1-1 0A1 1 0 1 1 1 0Z",
    "square": "M-.8-.8H.8V.8H-.8Z",
    "triangle": "M0-1L.9 .7H-.9Z",
    "star": "M" + "L".join(f"{r * math.sin(a):.3f} {-r * math.cos(a):.3f}" for r, a in zip([1, 0.42] * 5, np.arange(10) * math.pi / 5)) + "Z",
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
        body = "".join(
            f'<path d="{SHAPES[s]}" fill="{fill}" transform="translate({x:.3f} {y:.3f}) rotate({rng.uniform(-20, 20):.0f}) scale({r:.3f})"/>'
            for s, fill, x, y, r in drawn
        )  # fmt: skip
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


def clothes(rng: np.random.Generator) -> Iterator[tuple[str, Shown]]:
    """Without end: clothes, shoes and bags as shaded shapes, mostly grey, as a catalogue shows them."""
    while True:
        for name, ways in CLOTHES.items():
            facts = {}
            if rng.random() < 0.75:
                fill = np.full(3, rng.integers(80, 256))
            else:
                facts["colour"] = list(COLOURS)[rng.integers(len(COLOURS))]
                fill = np.array(COLOURS[facts["colour"]]) + rng.integers(-20, 21, 3)
            light, dark = (f"rgb({','.join(map(str, np.clip(fill * f, 0, 255).astype(int)))})" for f in (1, rng.uniform(0.45, 0.8)))  # fmt: skip
            outline, lines = garment(name, rng)
            stripes = ""
            if rng.random() < 0.25:
                turn, wide = rng.choice([0, 90, 45]), rng.uniform(4, 12)
                stripes = f'<pattern id="s" width="{2 * wide:.1f}" height="9" patternUnits="userSpaceOnUse" patternTransform="rotate({turn})"><rect width="{wide:.1f}" height="9" fill="{dark}"/></pattern>'
            body = (
                f'<defs><linearGradient id="g" x2="{rng.random():.2f}" y2="{rng.random():.2f}"><stop stop-color="{dark}"/>'
                f'<stop offset=".5" stop-color="{light}"/></linearGradient>{stripes}</defs>'
                f'<path d="{outline}" fill="{"url(#g)" if rng.random() < 0.5 else light}" fill-rule="evenodd"/>'
                + (f'<path d="{outline}" fill="url(#s)" fill-rule="evenodd"/>' if stripes else "")
                + f'<path d="{lines}" fill="none" stroke="{dark}" stroke-width="{rng.uniform(1.5, 4):.1f}"/>'
            )
            if rng.random() < 0.3:
                body = f'<g transform="matrix(-1 0 0 1 100 0)">{body}</g>'
            yield svg(100, body), Shown("clothes", {name: ways, "clothing": ("clothing", "clothes")}, facts)


def garment(name: str, rng: np.random.Generator) -> tuple[str, str]:
    """The outline of one in a square of 100, and the lines on it."""

    def u(low: float, high: float) -> float:
        return float(rng.uniform(low, high))

    def both(*half: tuple[float, float]) -> str:  # from the middle of the top down one side, and up the other
        points = [(50 + x, y) for x, y in half] + [(50 - x, y) for x, y in reversed(half)]
        return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points) + "Z"

    neck, hem, sleeve = u(7, 14), u(86, 96), u(38, 47)
    if name in ("t shirt", "shirt", "pullover", "coat"):
        long = name != "t shirt" and not (name == "shirt" and rng.random() < 0.25)
        body, pit, low = u(20, 27), u(30, 38), u(78, 92) if long else u(30, 44)
        top = [
            (neck, u(5, 9)),
            (u(24, 31), u(11, 16)),
            (sleeve, low - u(2, 6)),
            (sleeve - u(8, 13), low),
            (body, pit),
        ]
        shape = both((0, u(9, 18)), *top, (body + u(-3, 5), hem), (0, hem))
        front = f"M50 12V{hem:.0f}" if name in ("coat", "shirt") else ""
        collar = (
            f"M{50 - neck} 8L50 {u(22, 36)}L{50 + neck} 8"
            if name in ("coat", "shirt")
            else f"M{50 - neck} 8Q50 {u(14, 26)} {50 + neck} 8"
        )
        rib = f"M{50 - body} {hem - 6:.0f}H{50 + body}" if name == "pullover" else ""
        arms = f"M{50 - body} {pit + 4}V{low}M{50 + body} {pit + 4}V{low}" if long else ""
        return shape, front + collar + rib + arms
    if name == "dress":
        waist, skirt = u(9, 14), u(13, 36)
        top = [(u(9, 14), 4), (u(11, 16), u(20, 28))]
        if rng.random() < 0.4:  # sleeves
            top = [(u(8, 12), 4), (u(16, 20), 8), (u(22, 32), u(22, 60)), (u(15, 20), u(26, 60)), (waist + 1, 28)]
        return both((0, u(8, 20)), *top, (waist, u(38, 50)), (skirt, hem), (0, hem)), f"M{50 - waist} 45H{50 + waist}"
    if name == "trousers":
        waist, leg = u(12, 20), u(10, 20)
        inner = u(1, leg - 7)
        return both(
            (0, 4), (waist, 4), (waist + u(0, 4), 32), (leg + 1, 96), (inner, 96), (0, u(34, 46))
        ), f"M{50 - waist} 10H{50 + waist}M50 10V36"
    if name == "bag":
        top, wide, narrow = u(32, 50), u(30, 45), u(26, 45)
        rise = u(4, top - 6)
        handle = f"M{50 - narrow * 0.6:.0f} {top}C{50 - narrow * 0.6:.0f} {rise} {50 + narrow * 0.6:.0f} {rise} {50 + narrow * 0.6:.0f} {top}"
        strap = (
            handle
            + f"l-6 0C{44 + narrow * 0.6:.0f} {rise + 8} {56 - narrow * 0.6:.0f} {rise + 8} {56 - narrow * 0.6:.0f} {top}Z"
        )
        shape = both((0, top), (narrow, top), (wide, u(80, 94)), (0, u(84, 96)))
        return shape + strap, f"M{50 - narrow} {top + u(8, 24):.0f}H{50 + narrow}"
    toe, sole = u(90, 97), u(78, 86)
    if name == "sneaker":
        shape = f"M{u(4, 9)} {u(44, 52)}L{u(30, 36)} {u(40, 46)}L{u(42, 50)} {u(34, 42)}Q62 {u(56, 62)} {toe - 8} {u(60, 66)}Q{toe + 4} 70 {toe} {sole}L5 {sole}Z"
        return shape, f"M5 {sole - 6}H{toe}M48 46L42 56M56 52L50 62M64 57L58 66"
    if name == "ankle boot":
        heel = u(0, 12)
        shape = f"M{u(8, 16)} {u(6, 16)}L{u(42, 54)} {u(6, 14)}L{u(48, 56)} 46Q{toe - 8} 56 {toe} 74L{toe} {sole}L{u(40, 46)} {sole}L34 {sole - heel * 0.5}L28 {sole + heel}L8 {sole + heel}L10 60Z"
        return shape, f"M10 {sole - 6}H{toe}M{u(26, 34)} 10V50"
    heel = u(0, 26)  # a sandal: a sole, a heel, and straps with air between
    base = sole - heel * 0.6
    shape = f"M5 {base}Q40 {base} 60 {sole - 2}T{toe} {sole - 3}L{toe} {sole + 4}L55 {sole + 4}Q35 {base + 8} 14 {base + 8}L12 {sole + 6}L6 {sole + 6}Z"
    for start, end, high in ((6, 30, u(8, 34)), (52, 84, u(10, 26)), (60, 92, u(4, 16)))[: rng.integers(2, 4)]:
        y = base if start < 40 else sole
        shape += f"M{start} {y}Q{(start + end) / 2} {y - 2 * high} {end} {y - 2}L{end - 5} {y - 2}Q{(start + end) / 2} {y - 2 * high + 12} {start + 5} {y}Z"
    return shape, f"M10 {base + 3}H30"
