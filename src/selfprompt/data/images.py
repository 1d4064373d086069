"""One image file to one RGB picture, the same way for every command."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import reduce
from operator import or_
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from selfprompt.data.depth import Levels, Range, deep, levels_of, to_8_bits
from selfprompt.errors import UserError, first_line

ImageSource = Path | str | Image.Image | np.ndarray
"""A path, a PIL image, or an array of shape (H, W), (H, W, 1), (H, W, 3) or (H, W, 4) of integers or floats."""

EIGHT_BITS = (".jpg", ".jpeg", ".jpe", ".jfif", ".gif", ".webp", ".bmp")
PROBED = 8


def read_image(source: ImageSource, span: Range | None = None) -> Image.Image:
    """Read one image as RGB: EXIF rotation applied, palettes expanded, transparency laid on white.

    Args:
        source: What to read.
        span: The values that become black and white in an image of more than 8 bits a channel (see `common_range`);
            by default those that the image itself suggests (see `Levels`).

    Raises:
        UserError: The file is missing, is no image, is cut short or damaged, or is larger than Pillow's limit on
            decompression bombs. The message names the file.
    """
    name = source if isinstance(source, (str, Path)) else f"An image given as {type(source).__name__}"
    try:
        if isinstance(source, np.ndarray):
            return from_array(source, span)
        if isinstance(source, Image.Image):
            return to_rgb(source, span)
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(source) as image:
                if image.format == "JPEG2000" and b"\xff\xd9" not in Path(source).read_bytes():
                    raise ValueError("it is cut short")  # the end of the codestream, which Pillow does not ask for
                return to_rgb(image, span)
    except FileNotFoundError:
        raise UserError(f"There is no file {name}.") from None
    except UnidentifiedImageError:
        raise UserError(f"{name} is no image, whatever its name says: remove it or replace it.") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise UserError(
            f"{name} has more than {Image.MAX_IMAGE_PIXELS:,} pixels, which may be a decompression bomb: "
            f"remove it or scale it down."
        ) from None
    except Exception as error:  # a damaged file makes its decoder raise anything
        raise UserError(f"{name} cannot be decoded ({first_line(error)}): replace or remove it.") from None


def from_array(array: np.ndarray, span: Range | None = None) -> Image.Image:
    """An array to RGB: uint8 as it is, other integers and floats scaled.

    Raises:
        ValueError: Its shape is no image's.
    """
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4))) or not array.size:
        raise ValueError(f"its shape {array.shape} is none of (H, W), (H, W, 1), (H, W, 3), (H, W, 4)")
    if array.dtype == bool:
        array = array.astype(np.uint8) * np.uint8(255)
    elif array.dtype != np.uint8:
        array = to_8_bits(array, span or levels_of(array).range)
    return Image.fromarray(array).convert("RGB")


def to_rgb(image: Image.Image, span: Range | None = None) -> Image.Image:
    """Any Pillow mode to RGB, as a viewer would show it; ``span`` as in `read_image`."""
    found = deep(image)
    image = found.to_image(span) if found else ImageOps.exif_transpose(image)
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image.convert("RGB")


def common_range(images: Sequence[ImageSource]) -> Range | None:
    """Black and white for all images of more than 8 bits of a data set, so that dim and bright ones stay apart.

    Every such image is read. Names of formats that hold 8 bits (JPEG, WebP) are not opened; a sequence that begins
    with images in memory of 8 bits is taken for one of such images.

    Returns:
        The range of all their levels; None where there are none, or where some have integers and some floats.
    """
    start = [images[i] for i in range(min(PROBED, len(images)))]
    if not any(isinstance(image, (str, Path)) or levels_in(image) for image in start):
        return None
    with ThreadPoolExecutor() as threads:
        found = [levels for levels in threads.map(lambda i: levels_in(images[i]), range(len(images))) if levels]
    if len({levels.integers for levels in found}) != 1:
        return None
    return reduce(or_, found).range


def levels_in(source: ImageSource) -> Levels | None:
    """The levels of one image of more than 8 bits; None for others, and for one that `read_image` refuses."""
    try:
        if isinstance(source, np.ndarray):
            return None if source.dtype in (np.uint8, bool) else levels_of(source)
        if isinstance(source, Image.Image):
            found = deep(source)
        elif str(source).lower().endswith(EIGHT_BITS):
            return None
        else:
            with warnings.catch_warnings():
                warnings.simplefilter("error", Image.DecompressionBombWarning)
                with Image.open(source) as image:
                    found = deep(image)
        return found.levels if found else None
    except Exception:
        return None
