"""The bytes of an image from a stranger to pixels."""

from __future__ import annotations

from io import BytesIO

import numpy as np
from PIL import Image

from selfprompt.data.views.base import View
from selfprompt.errors import UserError

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "JPEG2000")
"""Formats that are decoded here: none that starts another program, as PostScript does."""


def decode(data: bytes, view: View, max_pixels: int) -> np.ndarray:
    """One image as a view reads it, (3, S, S) uint8.

    Args:
        data: A file's bytes.
        view: Of the adapter that is asked.
        max_pixels: Most pixels, by the header, before any is decoded.

    Raises:
        UserError: It is no image of `FORMATS`, is damaged, or has more pixels.
    """
    try:
        image = Image.open(BytesIO(data), formats=FORMATS)
    except Image.DecompressionBombError:
        raise too_large(max_pixels) from None
    except Exception:  # a damaged header makes its reader raise anything
        raise UserError(f"It is no image: give {', '.join(FORMATS[:-1])} or {FORMATS[-1]}.") from None
    with image:
        if image.width * image.height > max_pixels:
            raise too_large(max_pixels)
        return view.read(image)


def too_large(max_pixels: int) -> UserError:
    """The sentence for an image of too many pixels."""
    return UserError(f"It has more than {max_pixels:,} pixels: scale it down.")
