"""The bytes of an image from a stranger to pixels."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image

from selfprompt.data.depth import LOW_BYTES, raw_modes
from selfprompt.data.views.base import View
from selfprompt.errors import UserError

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "JPEG2000")
"""Formats that are decoded here: none that starts another program, as PostScript does."""
TILE_WIDTH, TILE_LENGTH = 322, 323  # TIFF tags


def decode(data: bytes, view: View, max_pixels: int) -> np.ndarray:
    """One image as a view reads it, (3, S, S) uint8.

    Args:
        data: A file's bytes.
        view: Of the adapter that is asked.
        max_pixels: Most pixels, by the header, before any is decoded; of more than 8 bits a colour half as many.

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
        if cost(image) > max_pixels:
            raise too_large(max_pixels)
        return view.read(image)


def cost(image: Any) -> int:
    """How many pixels of 8 bits a colour an opened image takes as much memory as.

    A TIFF is decoded by whole tiles, and 16 bits a colour are decoded twice, once for each byte.
    """
    tags = getattr(image, "tag_v2", {})
    sides = zip(image.size, (tags.get(TILE_WIDTH, 0), tags.get(TILE_LENGTH, 0)))
    width, height = (max(side, tile) if isinstance(tile, int) else side for side, tile in sides)
    return width * height * (2 if raw_modes(image) & LOW_BYTES.keys() else 1)


def too_large(max_pixels: int) -> UserError:
    """The sentence for an image of too many pixels."""
    return UserError(f"It has more than {max_pixels:,} pixels (of 16 bits a colour, half as many): scale it down.")
