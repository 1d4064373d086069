"""mnist5k's digits as other cameras would see them: there to test on, not to train."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from PIL import Image, ImageFilter, ImageOps

from selfprompt.data.datasets import Dataset, Examples, with_splits
from selfprompt.data.protocol import Protocol
from selfprompt.data.sources import mnist5k
from selfprompt.registry import Record

RECORD = Record(
    name="mnist5k-shift",
    title="mnist5k's digits, shifted",
    idea="Handwritten digits in noise, blurred, inverted or turned, to test on what was trained on plain ones.",
    parts=("noise", "blur", "inverted", "turned"),
)
IMAGES = 200


def noise(digit: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Gaussian noise with a deviation of 70 of 255."""
    pixels = np.asarray(digit, dtype=np.float64) + rng.normal(0, 70, (digit.height, digit.width))
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def blur(digit: Image.Image, rng: np.random.Generator) -> Image.Image:
    """A Gaussian of two pixels."""
    return digit.filter(ImageFilter.GaussianBlur(2))


def inverted(digit: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Black on white."""
    return ImageOps.invert(digit)


def turned(digit: Image.Image, rng: np.random.Generator) -> Image.Image:
    """By 20 to 40 degrees, one way or the other."""
    return digit.rotate(rng.uniform(20, 40) * rng.choice([-1, 1]), Image.Resampling.BILINEAR)


SHIFTS: dict[str, Callable[[Image.Image, np.random.Generator], Image.Image]] = {
    "noise": noise,
    "blur": blur,
    "inverted": inverted,
    "turned": turned,
}


@lru_cache
def load(part: str) -> Dataset:
    """200 digits out of the fifth of mnist5k that is its test under the split seed 0, each class equally often."""
    whole = with_splits(mnist5k.load(), Protocol())
    assert whole.test.labels is not None
    labels = whole.test.labels
    chosen = np.concatenate([np.flatnonzero(labels == c)[: IMAGES // 10] for c in range(10)])
    rng = np.random.default_rng(RECORD.parts.index(part))
    digits = [Image.fromarray(np.asarray(whole.test.images[i])).convert("L") for i in chosen]
    test = Examples([np.asarray(SHIFTS[part](digit, rng)) for digit in digits], labels[chosen])
    empty = Examples([], np.zeros(0, dtype=np.int64))
    return Dataset(f"mnist5k-shift/{part}", whole.class_names, empty, test=test, licence="CC BY-SA 3.0 (as mnist5k)")
