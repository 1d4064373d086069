"""One image file to one RGB picture, the same way for every command."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import reduce
from io import BytesIO
from itertools import product
from operator import or_
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, UnidentifiedImageError

from selfprompt.data.depth import Deep, Levels, Range, contents, deep, raw_modes, upright
from selfprompt.errors import UserError, first_line
from selfprompt.watch import counted

ImageSource = Path | str | bytes | BinaryIO | Mapping[str, Any] | Image.Image | np.ndarray
"""A path, the bytes of a file, a file opened for reading bytes, a mapping of ``bytes`` and ``path`` (as the datasets
library keeps images), a PIL image, or an array of shape (H, W), (H, W, 1), (H, W, 3) or (H, W, 4)."""

EIGHT_BITS = (".jpg", ".jpeg", ".jpe", ".jfif", ".gif", ".webp", ".bmp")
URL = re.compile(r"[a-z][a-z\d+.-]+:/", re.IGNORECASE | re.ASCII)
"""What a URL begins with, as a path has it, too; one letter is a drive."""
PROBED = 8
SQUARE = 1024


def identified(path: Path) -> bool:
    """Whether a file begins as an image does."""
    try:
        with Image.open(path):
            return True
    except (OSError, ValueError):
        return False


def read_image(source: ImageSource, span: Range | None = None) -> Image.Image:
    """Read one image as RGB: EXIF rotation applied, palettes expanded, transparency laid on white.

    A picture is the same in whichever of these forms it is given; but of 16-bit colour that was loaded from bytes, a
    PIL image has kept 8 bits: give the bytes.

    Args:
        source: What to read.
        span: The values that become black and white in an image of more than 8 bits a channel (see `common_range`);
            by default those that the image itself suggests (see `Levels`).

    Raises:
        UserError: The file is missing or a URL, is no image, is cut short or damaged, or is larger than Pillow's
            limit on decompression bombs. The message names the file.
    """
    form = f"{len(source):,} bytes" if isinstance(source, bytes) else type(source).__name__
    name = name_of(source) or f"An image given as {form}"
    try:
        if isinstance(source, np.ndarray):
            return from_array(source, span)
        with opened(source) as image:
            if image.format == "JPEG2000" and b"\xff\xd9" not in (contents(image) or b"\xff\xd9"):
                raise ValueError("it is cut short")  # the end of the codestream, which Pillow does not ask for
            return to_rgb(image, span)
    except FileNotFoundError:
        if URL.match(name):
            raise UserError(f"{name} is a URL, which is not downloaded: download it, and give the file.") from None
        raise UserError(f"There is no file {name}.") from None
    except UnidentifiedImageError:
        what = ", whatever its name says" if name_of(source) else " that can be read"
        raise UserError(f"{name} is no image{what}: remove it or replace it.") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise UserError(
            f"{name} has more than {Image.MAX_IMAGE_PIXELS:,} pixels, which may be a decompression bomb: "
            f"remove it or scale it down."
        ) from None
    except Exception as error:  # a damaged file makes its decoder raise anything
        raise UserError(f"{name} cannot be decoded ({first_line(error)}): replace or remove it.") from None


def name_of(source: Any) -> str | None:
    """The path of an image, if it has any."""
    path = source.get("path") if isinstance(source, Mapping) else getattr(source, "filename", source)
    return str(path) if isinstance(path, (str, Path)) and str(path) else None


@contextmanager
def opened(source: Any) -> Iterator[Image.Image]:
    """A source that is no array, as an image that Pillow has opened."""
    if isinstance(source, Image.Image):
        yield source
        return
    if isinstance(source, Mapping):
        source = source["path"] if source.get("bytes") is None else source["bytes"]
        if source is None:
            raise ValueError("it has neither bytes nor a path")
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        with Image.open(BytesIO(source) if isinstance(source, bytes) else source) as image:
            yield image


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
    return on_white(Image.fromarray(array) if array.dtype == np.uint8 else deep_array(array).to_image(span))


def deep_array(array: np.ndarray) -> Deep:
    """An array of other values than 8 bits; alpha goes to the greatest integer of its type, or to 1."""
    if array.ndim < 3 or array.shape[2] < 4:
        return Deep(array)
    most = np.iinfo(array.dtype).max if array.dtype.kind in "iu" else 1
    alpha = np.clip(array[..., 3].astype(np.float64) * (255 / most), 0, 255)
    return Deep(array[..., :3], alpha=np.nan_to_num(alpha).astype(np.uint8))


def to_rgb(image: Image.Image, span: Range | None = None) -> Image.Image:
    """Any Pillow mode to RGB, as a viewer would show it; ``span`` as in `read_image`."""
    found = deep(image)
    if found:
        return on_white(found.to_image(span))
    step = step_of_grey(image)
    turned = upright(image)
    key = {"transparency": image.info["transparency"] * step} if step > 1 else {}
    return on_white(turned, **key)


def step_of_grey(image: Image.Image) -> int:
    """What Pillow multiplied a PNG's greys of 2 or 4 bits with, but not the one that is transparent; else 1."""
    if image.format != "PNG" or image.mode != "L" or "transparency" not in image.info:
        return 1
    modes, data = raw_modes(image), contents(image)
    modes = modes or (raw_modes(Image.open(BytesIO(data))) if data else modes)
    return {"L;2": 85, "L;4": 17}.get("".join(modes), 1)


def on_white(image: Image.Image, **info: Any) -> Image.Image:
    """An image of 8 bits as RGB, what is transparent laid on white, square by square, as it takes several copies.

    Args:
        image: The image.
        **info: What is said of it otherwise than by itself.
    """
    if image.mode not in ("RGBA", "LA", "PA", "La", "RGBa") and "transparency" not in image.info:
        return image.convert("RGB")
    found = Image.new("RGB", image.size)
    for left, top in product(range(0, image.width, SQUARE), range(0, image.height, SQUARE)):
        part = image.crop((left, top, min(left + SQUARE, image.width), min(top + SQUARE, image.height)))
        part.info |= info
        part = part.convert("RGBA")
        white = Image.new("RGBA", part.size, "white")
        found.paste(Image.alpha_composite(white, part).convert("RGB"), (left, top))
    return found


def common_range(images: Sequence[ImageSource]) -> Range | None:
    """Black and white for all images of more than 8 bits of a data set, so that dim and bright ones stay apart.

    Every such image is read. Names of formats that hold 8 bits (JPEG, WebP) are not opened; a sequence that begins
    with images in memory of 8 bits is taken for one of such images.

    Returns:
        The range of all their levels; None where there are none, or where some have integers and some floats.
    """

    def image(i: int) -> Any:
        try:
            return images[i]
        except UserError:  # said where it is read
            return None

    start = map(image, range(min(PROBED, len(images))))
    if not any(isinstance(found, (str, Path)) or levels_in(found) for found in start):
        return None
    with ThreadPoolExecutor() as threads:
        every = threads.map(lambda i: levels_in(image(i)), range(len(images)))
        found = [levels for levels in counted(every, "looking for black and white", len(images)) if levels]
    if len({levels.integers for levels in found}) != 1:
        return None
    return reduce(or_, found).range


def levels_in(source: ImageSource) -> Levels | None:
    """The levels of one image of more than 8 bits; None for others, and for one that `read_image` refuses."""
    try:
        if isinstance(source, np.ndarray):
            return None if source.dtype in (np.uint8, bool) else deep_array(source).levels
        if str(name_of(source)).lower().endswith(EIGHT_BITS):
            return None
        with opened(source) as image:
            found = deep(image)
        return found.levels if found else None
    except Exception:
        return None
