"""How the pictures of the built-in image-text model's corpus are bent, coloured and spoilt."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import replace

import numpy as np
from PIL import Image, ImageChops, ImageEnhance, ImageFilter

from builtin_clip.captions import COLOURS, LOOKS, Shown
from builtin_clip.sources import Picture

SIDE = 40
"""Of the pictures, in pixels."""


def view(picture: Picture, rng: np.random.Generator) -> tuple[Image.Image, Shown]:
    """A picture bent, coloured, on a background and, often, spoilt in some way; with what is then true of it."""
    image, facts = picture.image, dict(picture.shown.facts)
    if picture.shown.medium == "glyph":
        alpha, stroke = image.getchannel("A"), rng.random()
        for wide in (0.4, 0.15):
            alpha = alpha.filter(ImageFilter.MaxFilter(3)) if stroke < wide else alpha
        image = image.copy()
        image.putalpha(alpha.filter(ImageFilter.MinFilter(3)) if stroke > 0.9 else alpha)
    if picture.warp:
        image = bent(image, picture.warp, rng)
    if "on" not in facts:
        dark = {"clothes": 0.65, "glyph": 0.45}.get(picture.shown.medium, 0.25 if picture.mono else 0.12)
        chance, own = rng.random(), facts.get("colour")
        ground = "black" if chance < dark else "white" if chance < dark + 0.3 else pick(COLOURS, rng)
        if ground == own:
            ground = "white" if own == "black" else "black"
        below = Image.new("RGBA", image.size, tint(ground, rng))
        facts["on"] = ground
        if picture.mono:
            far = [c for c in COLOURS if np.abs(np.subtract(COLOURS[c], COLOURS[ground])).sum() > 150]
            ink = {"black": "white", "white": "black"}.get(ground) if rng.random() < 0.55 else None
            facts["colour"] = ink or pick(far, rng)
            solid = Image.new("RGBA", image.size, tint(facts["colour"], rng))
            solid.putalpha(image.getchannel("A"))
            image = solid
        image = Image.alpha_composite(below, image)
    sampling = Image.Resampling.BOX if rng.random() < 0.3 else Image.Resampling.BILINEAR
    image = image.convert("RGB").resize((SIDE, SIDE), sampling)
    if rng.random() < 0.3:
        facts["look"] = pick(LOOKS, rng)
        image = spoilt(image, facts["look"], rng)
        if facts["look"] in ("inverted", "black and white"):
            facts.pop("on"), facts.pop("colour", None)
    return image, replace(picture.shown, facts=facts)


def pick(words: Iterable[str], rng: np.random.Generator) -> str:
    """One of some words."""
    listed = list(words)
    return listed[rng.integers(len(listed))]


def tint(colour: str, rng: np.random.Generator) -> tuple[int, ...]:
    """A colour, nearly."""
    return (*(int(v) for v in np.clip(np.add(COLOURS[colour], rng.integers(-18, 19, 3)), 0, 255)), 255)


def bent(image: Image.Image, warp: float, rng: np.random.Generator) -> Image.Image:
    """An image turned, scaled, sheared and moved, and bent as rubber."""
    side, cells = image.width, 4
    turn, scale = rng.uniform(-0.28, 0.28), np.exp(rng.uniform(-0.15, 0.4, 2) + rng.uniform(-0.05, 0.1))
    shear = warp * rng.uniform(-0.25, 0.25)
    matrix = np.array([[np.cos(turn), np.sin(turn) + shear], [-np.sin(turn), np.cos(turn)]]) * scale[:, None]
    ticks = np.linspace(0, side, cells + 1)
    grid = np.stack(np.meshgrid(ticks, ticks), -1)  # (row, column, xy)
    grid = (grid - side / 2) @ matrix.T + side / 2 + rng.uniform(-0.06, 0.06, 2) * side
    grid += rng.normal(0, 0.025 * warp * side, grid.shape)
    step = side // cells
    mesh = []
    for i, j in itertools.product(range(cells), range(cells)):
        corners = (grid[i, j], grid[i + 1, j], grid[i + 1, j + 1], grid[i, j + 1])
        mesh.append(((j * step, i * step, (j + 1) * step, (i + 1) * step), tuple(np.concatenate(corners))))
    return image.transform(image.size, Image.Transform.MESH, mesh, Image.Resampling.BILINEAR)


def spoilt(image: Image.Image, look: str, rng: np.random.Generator) -> Image.Image:
    """An image that looks as a key of `LOOKS` says."""
    if look == "blurry":
        return image.filter(ImageFilter.GaussianBlur(rng.uniform(1.3, 2.5)))
    if look == "noisy":
        noise = rng.normal(0, 255 * rng.uniform(0.08, 0.3), (SIDE, SIDE, 3))
        return Image.fromarray(np.clip(np.asarray(image) + noise, 0, 255).astype(np.uint8))
    if look == "inverted":
        return ImageChops.invert(image)
    if look == "black and white":
        return image.convert("L").convert("RGB")
    if look == "low contrast":
        return ImageEnhance.Contrast(image).enhance(rng.uniform(0.2, 0.5))
    if look == "dark":
        return ImageEnhance.Brightness(image).enhance(rng.uniform(0.25, 0.55))
    return image.resize((SIDE // 3,) * 2, Image.Resampling.BOX).resize((SIDE,) * 2, Image.Resampling.NEAREST)
