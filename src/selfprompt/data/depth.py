"""Images of more than 8 bits a channel: 10, 12 or 14 bits in 16, integers of 32 bits, floats."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ExifTags, Image, ImageOps

Range = tuple[float, float]
"""The values that become black and white."""

DEPTHS = (8, 10, 12, 14, 16)
SHIFTED = {"PPM", "JPEG2000"}  # formats of which Pillow scales every depth to 16 bits
SAMPLE_BITS, PHOTOMETRIC, MAX_SAMPLE, SAMPLE_FORMAT = 258, 262, 281, 339  # TIFF tags
WHITE_IS_ZERO, UNSIGNED = 0, 1
OTHER_ORDER = {"L": "B", "B": "L", "N": "B" if sys.byteorder == "little" else "L"}
LOW_BYTES = {f"{mode};16{a}": f"{mode};16{b}" for mode in ("RGB", "RGBA", "RGBX") for a, b in OTHER_ORDER.items()}
LOW_BYTES["LA;16B"] = "RGBA"  # as four bytes: both of grey, both of alpha
PART = 2**20  # values that are computed with at a time: of all of them, copies in wider types would fill the memory


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
    lows, highs, by_256, by_257 = [], [], integers, integers
    for part in parts(values):
        finite = part if integers else part[np.isfinite(part)]
        if finite.size:
            lows.append(float(finite.min()))
            highs.append(float(finite.max()))
            by_256, by_257 = by_256 and not (finite % 256).any(), by_257 and not (finite % 257).any()
    if not lows:
        raise ValueError("it has no pixel that is a number")
    return Levels(min(lows), max(highs), bits, integers, by_256 or by_257)


def parts(values: np.ndarray) -> Iterator[Any]:
    """The values of an array in flat parts of at most so many; a part holds until the next one is asked for."""
    yield from np.nditer(values, ["external_loop", "buffered", "zerosize_ok"], buffersize=PART, order="C")


def to_8_bits(values: np.ndarray, span: Range) -> np.ndarray:
    """Values to uint8 of the same shape, in equal steps from black to white and cut beyond; NaN becomes black.

    Integers of 16 bits give their high byte, integers of 12 bits the highest eight.
    """
    found, place = np.empty(values.size, np.uint8), 0
    for part in parts(values):
        found[place : place + part.size] = scaled(part, span)
        place += part.size
    return found.reshape(values.shape)


def scaled(values: np.ndarray, span: Range) -> np.ndarray:
    """`to_8_bits` of a few values."""
    low, high = span
    if values.dtype.kind in "iub":
        steps = (values.astype(np.float64) - low) * (256.0 / (high - low + 1))
    else:
        known = np.nan_to_num(values.astype(np.float64), nan=low, posinf=high, neginf=low)
        steps = (known - low) * (255.0 / max(high - low, 1e-12))
    return np.clip(steps, 0, 255).astype(np.uint8)


@dataclass(frozen=True)
class Deep:
    """An upright image of more than 8 bits a channel.

    Args:
        colours: (H, W) or (H, W, 3) integers or floats.
        bits: See `Levels`.
        alpha: (H, W) uint8, where there is any.
        negative: Whether the least value is white.
    """

    colours: np.ndarray
    bits: int = 0
    alpha: np.ndarray | None = None
    negative: bool = False

    @property
    def levels(self) -> Levels:
        """The levels of its colours."""
        return levels_of(self.colours, self.bits)

    def to_image(self, span: Range | None) -> Image.Image:
        """The image in 8 bits; ``span`` is black and white, and by default what its own levels suggest."""
        scaled = to_8_bits(self.colours, span or self.levels.range)
        image = Image.fromarray(255 - scaled if self.negative else scaled)
        if self.alpha is not None:
            image = image.convert("RGB")
            image.putalpha(Image.fromarray(self.alpha))
        return image


def deep(image: Image.Image) -> Deep | None:
    """An opened image of more than 8 bits a channel; None for every other one, of which nothing is read."""
    tags, key = getattr(image, "tag_v2", {}), image.info.get("transparency")
    if image.mode.startswith("I") or image.mode == "F":
        values = np.asarray(upright(image))
        if values.dtype == np.int32 and tags.get(SAMPLE_BITS) == (32,) and tags.get(SAMPLE_FORMAT) == (UNSIGNED,):
            values = values.view(np.uint32)
        negative = tags.get(PHOTOMETRIC) == WHITE_IS_ZERO
        return Deep(values, stated_bits(image), None if key is None else opaque(values, key), negative)
    samples = samples_of(image)
    if samples is None:
        return None
    colours, alpha = samples[..., :3] if samples.shape[2] > 2 else samples[..., 0], None
    if samples.shape[2] in (2, 4):
        alpha = (samples[..., -1] >> 8).astype(np.uint8)
    elif key is not None:
        alpha = opaque(colours, key)
    return Deep(colours, stated_bits(image), alpha)


def opaque(colours: np.ndarray, key: Any) -> np.ndarray:
    """(H, W) uint8 alpha: 0 where a pixel has the one colour that is transparent, else 255."""
    clear = (colours == np.asarray(key)).reshape(*colours.shape[:2], -1).all(axis=-1)
    return np.where(clear, 0, 255).astype(np.uint8)


def stated_bits(image: Image.Image) -> int:
    """How many bits a sample has as an opened file says: so many or more; 0 where it does not."""
    if image.format in SHIFTED:
        return 16
    tags: Any = getattr(image, "tag_v2", {})
    sample, greatest = (int(np.max(tags.get(tag, 0))) for tag in (SAMPLE_BITS, MAX_SAMPLE))
    return min(16, max(sample if sample < 16 else 0, greatest.bit_length()))


def raw_modes(image: Image.Image) -> set[str]:
    """How the pixels of an opened image stand in its file; empty once they are loaded."""
    arguments = [tile[3] for tile in getattr(image, "tile", [])]
    return {found if isinstance(found, str) else str(found[0]) for found in arguments if found}


def samples_of(image: Image.Image) -> np.ndarray | None:
    """16-bit colour, or grey with alpha, of which Pillow keeps the high bytes: both, from the file.

    Returns:
        (H, W, C) uint16, upright; None for every other image, and where the file is not to be had any more, or
        shows something else.
    """
    modes = raw_modes(image)
    if image.format not in ("PNG", "TIFF") or image.mode not in ("RGB", "RGBA") or not modes <= LOW_BYTES.keys():
        return None
    data = contents(image)
    if data is None:
        return None
    low = at_frame(data, image)
    if not raw_modes(low) or not raw_modes(low) <= LOW_BYTES.keys():
        return None
    if not modes and not np.array_equal(np.asarray(at_frame(data, image)), np.asarray(image)):
        return None  # loaded, and changed since
    grey = raw_modes(low) == {"LA;16B"}
    tiles = [(tile, tile[3] if isinstance(tile[3], tuple) else (tile[3],)) for tile in low.tile]
    swapped = [(tile, (LOW_BYTES[mode], *rest)) for tile, (mode, *rest) in tiles]
    low.tile = [
        tile._replace(args=new) if hasattr(tile, "_replace") else (*tile[:3], new)  # a plain tuple before Pillow 11
        for tile, new in swapped
    ]
    samples = np.asarray(upright(image))[..., [0, 3] if grey else slice(None)].astype(np.uint16)
    samples <<= 8
    samples |= np.asarray(upright(low))[..., [1, 3] if grey else slice(None)]
    return samples


def upright(image: Image.Image) -> Image.Image:
    """An image as its EXIF tag turns it; where that does not, the image itself, as `exif_transpose` would copy it."""
    image.load()
    turned = image.getexif().get(ExifTags.Base.Orientation, 1) != 1
    return ImageOps.exif_transpose(image) if turned else image


def contents(image: Image.Image) -> bytes | None:
    """The file of an opened image; None where it is not to be had."""
    file, name = getattr(image, "fp", None), getattr(image, "filename", "")
    if file is not None and not file.closed:
        place = file.tell()
        file.seek(0)
        data = file.read()
        file.seek(place)
        return data
    return Path(name).read_bytes() if name and Path(name).is_file() else None


def at_frame(data: bytes, image: Image.Image) -> Any:
    """A file anew, at the frame where an image stands."""
    again = Image.open(BytesIO(data))
    again.seek(image.tell())
    return again
