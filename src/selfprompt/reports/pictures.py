"""Images in a page: as they were seen, with a patch marked, or under a map of where a model looks."""

from __future__ import annotations

import base64
import io

import numpy as np
from matplotlib import colormaps
from PIL import Image, ImageDraw

SIDE = 112
MARK = "#ff2e88"


def picture(pixels: np.ndarray) -> Image.Image:
    """(3, S, S) uint8 to a picture of the page's size; small ones keep their square pixels."""
    image = Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0)))
    scale = Image.Resampling.NEAREST if image.width < SIDE else Image.Resampling.LANCZOS
    return image.resize((SIDE, SIDE), scale)


def marked(pixels: np.ndarray, row: int, column: int, patches: int) -> Image.Image:
    """A picture with the frame of one of ``patches`` x ``patches`` patches."""
    image = picture(pixels)
    size = SIDE / patches
    box = (column * size, row * size, (column + 1) * size - 1, (row + 1) * size - 1)
    ImageDraw.Draw(image).rectangle(box, outline=MARK, width=max(2, SIDE // 40))
    return image


def overlaid(pixels: np.ndarray, weights: np.ndarray) -> Image.Image:
    """A picture under a map of (M,) weights of its patches, the largest the brightest."""
    side = round(len(weights) ** 0.5)
    scaled = (weights - weights.min()) / max(float(np.ptp(weights)), 1e-12)
    small = Image.fromarray((255 * scaled.reshape(side, side)).astype(np.uint8))
    heat = np.asarray(small.resize((SIDE, SIDE), Image.Resampling.BICUBIC), dtype=np.float32) / 255
    colours = Image.fromarray((255 * colormaps["inferno"](heat)[..., :3]).astype(np.uint8))
    return Image.blend(picture(pixels).convert("L").convert("RGB"), colours, 0.6)


def source(image: Image.Image) -> str:
    """A picture as the address of an ``img``, within the page itself."""
    out = io.BytesIO()
    image.save(out, format="JPEG", quality=82)
    return "data:image/jpeg;base64," + base64.b64encode(out.getvalue()).decode()
