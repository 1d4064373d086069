"""Images of more than 8 bits a channel: 10, 12 or 14 bits in 16, integers of 32 bits, floats."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, ImageOps

Range = tuple[float, float]
"""The values that become black and white."""

DEPTHS = (8, 10, 12, 14, 16)
SHIFTED = {"PPM", "JPEG2000"}  # formats of which Pillow scales every depth to 16 bits
SAMPLE_BITS, MAX_SAMPLE = 258, 281  # TIFF tags
OTHER_ORDER = {"L": "B", "B": "L", "N": "B" if sys.byteorder == "little" else "L"}
COLOUR = {f"{mode};16{order}" for mode in ("RGB", "RGBA") for order in OTHER_ORDER}


@dataclass(frozen=True)
class Levels:
    """What one image, or several together, say of their values.

    Args:
        low, high: The least and the greatest finite value.
        bits: So many bits or more, as the file says; 0 where it does not.
        integers: Whether they are integers.
        stepped: Whether all are multiples of 256 or of 257: 8 bits scaled to 16.
    """

    low: float
    high: float
    bits: int
    integers: bool
    stepped: bool

    def __or__(self, other: Levels) -> Levels:
        return Levels(
            min(self.low, other.low),
            max(self.high, other.high),
            max(self.bits, other.bits),
            self.integers and other.integers,
            self.stepped and other.stepped,
        )

    @property
    def range(self) -> Range:
        """Black and white.

        Integers of up to 16 bits: 0 and the greatest value of the least depth (8, 10, 12, 14, 16) that holds all.
        Floats in [0, 1]: 0 and 1. Other integers and floats: the least and the greatest value.
        """
        if self.integers and self.low >= 0 and self.high < 2**16:
            bits = 16 if self.stepped else self.bits
            return 0.0, 2.0 ** next(d for d in DEPTHS if d >= bits and 2**d > self.high) - 1
        if not self.integers and self.low >= 0 and self.high <= 1:
            return 0.0, 1.0
        return self.low, self.high


def levels_of(values: np.ndarray, bits: int = 0) -> Levels:
    """The levels of an array of any shape.

    Raises:
        ValueError: No value is a finite number.
    """
    integers = values.dtype.kind in "iub"
    finite = values if integers else values[np.isfinite(values)]
    if not finite.size:
        raise ValueError("it has no pixel that is a number")
    stepped = integers and not ((finite % 256).any() and (finite % 257).any())
    return Levels(float(finite.min()), float(finite.max()), bits, integers, stepped)


def to_8_bits(values: np.ndarray, span: Range) -> np.ndarray:
    """Values to uint8 of the same shape, in equal steps from black to white and cut beyond; NaN becomes black.

    Integers of 16 bits give their high byte, integers of 12 bits the highest eight.
    """
    low, high = span
    if values.dtype.kind in "iub":
        scaled = (values.astype(np.float64) - low) * (256.0 / (high - low + 1))
    else:
        known = np.nan_to_num(values.astype(np.float64), nan=low, posinf=high, neginf=low)
        scaled = (known - low) * (255.0 / max(high - low, 1e-12))
    return np.clip(scaled, 0, 255).astype(np.uint8)


@dataclass(frozen=True)
class Deep:
    """An upright image of more than 8 bits a channel.

    Args:
        colours: (H, W) or (H, W, 3) integers or floats.
        bits: See `Levels`.
        alpha: (H, W, 1) uint8, where there is any.
    """

    colours: np.ndarray
    bits: int
    alpha: np.ndarray | None = None

    @property
    def levels(self) -> Levels:
        """The levels of its colours."""
        return levels_of(self.colours, self.bits)

    def to_image(self, span: Range | None) -> Image.Image:
        """The image in 8 bits; ``span`` is black and white, and by default what its own levels suggest."""
        scaled = to_8_bits(self.colours, span or self.levels.range)
        return Image.fromarray(scaled if self.alpha is None else np.concatenate([scaled, self.alpha], axis=-1))


def deep(image: Image.Image) -> Deep | None:
    """An opened image of more than 8 bits a channel; None for every other one, of which nothing is read."""
    bits = stated_bits(image)
    if image.mode.startswith("I") or image.mode == "F":
        return Deep(np.asarray(ImageOps.exif_transpose(image)), bits)
    low_bytes = swapped(image)
    if low_bytes is None:
        return None
    high, low = (np.asarray(ImageOps.exif_transpose(half)) for half in (image, low_bytes))
    low_bytes.close()
    alpha = high[..., 3:] if high.shape[2] == 4 else None
    return Deep((high.astype(np.uint16) << 8 | low)[..., :3], bits, alpha)


def stated_bits(image: Image.Image) -> int:
    """How many bits a sample has as an opened file says: so many or more; 0 where it does not."""
    if image.format in SHIFTED:
        return 16
    tags: Any = getattr(image, "tag_v2", {})
    sample, greatest = (int(np.max(tags.get(tag, 0))) for tag in (SAMPLE_BITS, MAX_SAMPLE))
    return min(16, max(sample if sample < 16 else 0, greatest.bit_length()))


def swapped(image: Image.Image) -> Image.Image | None:
    """The low bytes of 16-bit colour, of which Pillow keeps the high ones: the file again, in the other byte order.

    None for every other image, and where the file is not to be had.
    """
    tiles: list[Any] = getattr(image, "tile", [])
    arguments = [tile[3] if isinstance(tile[3], tuple) else (tile[3],) for tile in tiles]
    file = getattr(image, "filename", "")
    if not tiles or not file or any(mode not in COLOUR for mode, *_ in arguments):
        return None
    other: Any = Image.open(file)
    swapped_arguments = [(mode[:-1] + OTHER_ORDER[mode[-1]], *rest) for mode, *rest in arguments]
    other.tile = [
        tile._replace(args=new) if hasattr(tile, "_replace") else (*tile[:3], new)  # a plain tuple before Pillow 11
        for tile, new in zip(tiles, swapped_arguments)
    ]
    return other
