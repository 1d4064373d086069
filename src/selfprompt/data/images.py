"""One image file to one RGB picture, the same way for every command."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from selfprompt.errors import UserError

IMAGE_SUFFIXES = frozenset(
    [".bmp", ".gif", ".jpeg", ".jpg", ".jp2", ".pbm", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"]
)

ImageSource = Path | str | Image.Image | np.ndarray
"""A path, a PIL image, or a uint8 array of shape (H, W) or (H, W, 3)."""


def read_image(source: ImageSource) -> Image.Image:
    """Read one image as RGB: EXIF rotation applied, palettes expanded, transparency laid on white.

    Raises:
        UserError: The file is missing, is no image, is cut short, or is larger than Pillow's limit on
            decompression bombs. The message names the file.
    """
    if isinstance(source, np.ndarray):
        return Image.fromarray(source).convert("RGB")
    if isinstance(source, Image.Image):
        return to_rgb(source)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(source) as image:
                return to_rgb(image)
    except FileNotFoundError:
        raise UserError(f"There is no file {source}.") from None
    except UnidentifiedImageError:
        raise UserError(f"{source} is no image, whatever its name says: remove it or replace it.") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise UserError(
            f"{source} has more than {Image.MAX_IMAGE_PIXELS:,} pixels, which may be a decompression bomb: "
            f"remove it or scale it down."
        ) from None
    except (OSError, SyntaxError, ValueError) as error:
        raise UserError(f"{source} cannot be decoded ({error}): replace or remove it.") from None


def to_rgb(image: Image.Image) -> Image.Image:
    """Any Pillow mode to RGB, as a viewer would show it."""
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I;16"):
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):
        values = np.asarray(image, dtype=np.float32)
        low, high = float(values.min()), float(values.max())
        image = Image.fromarray(((values - low) * (255.0 / max(high - low, 1e-12))).astype(np.uint8))
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image.convert("RGB")
