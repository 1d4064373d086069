"""Clothes for the built-in image-text model, drawn as SVG, after nobody's picture (CC0)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from builtin_clip.captions import COLOURS, Shown
from builtin_clip.scenes import svg

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
            light, dark = (rgb(fill * factor) for factor in (1, rng.uniform(0.45, 0.8)))
            outline, lines = garment(name, rng)
            stripes = ""
            if rng.random() < 0.25:
                turn, wide = rng.choice([0, 90, 45]), rng.uniform(4, 12)
                stripes = (
                    f'<pattern id="s" width="{2 * wide:.1f}" height="9" patternUnits="userSpaceOnUse" '
                    f'patternTransform="rotate({turn})"><rect width="{wide:.1f}" height="9" fill="{dark}"/></pattern>'
                )
            body = (
                f'<defs><linearGradient id="g" x2="{rng.random():.2f}" y2="{rng.random():.2f}">'
                f'<stop stop-color="{dark}"/><stop offset=".5" stop-color="{light}"/></linearGradient>'
                f"{stripes}</defs>"
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
        buttoned = name in ("coat", "shirt")
        long = name != "t shirt" and not (name == "shirt" and rng.random() < 0.25)
        body, pit, low = u(20, 27), u(30, 38), u(78, 92) if long else u(30, 44)
        top = [(neck, u(5, 9)), (u(24, 31), u(11, 16)), (sleeve, low - u(2, 6)), (sleeve - u(8, 13), low)]
        shape = both((0, u(9, 18)), *top, (body, pit), (body + u(-3, 5), hem), (0, hem))
        depth = u(22, 36) if buttoned else u(14, 26)
        lines = f"M{50 - neck} 8{'L' if buttoned else 'Q'}50 {depth}{'L' if buttoned else ' '}{50 + neck} 8"
        lines += f"M50 12V{hem:.0f}" if buttoned else ""
        lines += f"M{50 - body} {hem - 6:.0f}H{50 + body}" if name == "pullover" else ""
        lines += f"M{50 - body} {pit + 4}V{low}M{50 + body} {pit + 4}V{low}" if long else ""
        return shape, lines
    if name == "dress":
        waist, skirt = u(9, 14), u(13, 36)
        top = [(u(9, 14), 4), (u(11, 16), u(20, 28))]
        if rng.random() < 0.4:  # sleeves
            top = [(u(8, 12), 4), (u(16, 20), 8), (u(22, 32), u(22, 60)), (u(15, 20), u(26, 60)), (waist + 1, 28)]
        return both((0, u(8, 20)), *top, (waist, u(38, 50)), (skirt, hem), (0, hem)), f"M{50 - waist} 45H{50 + waist}"
    if name == "trousers":
        waist, leg = u(12, 20), u(10, 20)
        inner, hip = u(1, leg - 7), u(0, 4)
        half = [(0, 4), (waist, 4), (waist + hip, 32), (leg + 1, 96), (inner, 96), (0, u(34, 46))]
        return both(*half), f"M{50 - waist} 10H{50 + waist}M50 10V36"
    if name == "bag":
        top, wide, narrow = u(32, 50), u(30, 45), u(26, 45)
        rise, grip = u(4, top - 6), 0.6 * narrow
        left, right = 50 - grip, 50 + grip
        strap = f"M{left} {top}C{left} {rise} {right} {rise} {right} {top}"
        strap += f"l-6 0C{right - 6} {rise + 8} {left + 6} {rise + 8} {left + 6} {top}Z"
        shape = both((0, top), (narrow, top), (wide, u(80, 94)), (0, u(84, 96)))
        return shape + strap, f"M{50 - narrow} {top + u(8, 24):.0f}H{50 + narrow}"
    toe, sole = u(90, 97), u(78, 86)
    if name == "sneaker":
        shape = f"M{u(4, 9)} {u(44, 52)}L{u(30, 36)} {u(40, 46)}L{u(42, 50)} {u(34, 42)}"
        shape += f"Q62 {u(56, 62)} {toe - 8} {u(60, 66)}Q{toe + 4} 70 {toe} {sole}L5 {sole}Z"
        return shape, f"M5 {sole - 6}H{toe}M48 46L42 56M56 52L50 62M64 57L58 66"
    if name == "ankle boot":
        heel = u(0, 12)
        shape = f"M{u(8, 16)} {u(6, 16)}L{u(42, 54)} {u(6, 14)}L{u(48, 56)} 46Q{toe - 8} 56 {toe} 74L{toe} {sole}"
        shape += f"L{u(40, 46)} {sole}L34 {sole - heel / 2}L28 {sole + heel}L8 {sole + heel}L10 60Z"
        return shape, f"M10 {sole - 6}H{toe}M{u(26, 34)} 10V50"
    heel = u(0, 26)  # a sandal: a sole, a heel, and straps with air between
    base = sole - heel * 0.6
    shape = f"M5 {base}Q40 {base} 60 {sole - 2}T{toe} {sole - 3}L{toe} {sole + 4}L55 {sole + 4}"
    shape += f"Q35 {base + 8} 14 {base + 8}L12 {sole + 6}L6 {sole + 6}Z"
    for start, end, high in ((6, 30, u(8, 34)), (52, 84, u(10, 26)), (60, 92, u(4, 16)))[: rng.integers(2, 4)]:
        y, middle = base if start < 40 else sole, (start + end) / 2
        shape += f"M{start} {y}Q{middle} {y - 2 * high} {end} {y - 2}L{end - 5} {y - 2}"
        shape += f"Q{middle} {y - 2 * high + 12} {start + 5} {y}Z"
    return shape, f"M10 {base + 3}H30"


def rgb(colour: np.ndarray) -> str:
    """A colour in SVG's words."""
    return "rgb({},{},{})".format(*np.clip(colour, 0, 255).astype(int))
