"""Images in a page: as they were seen, with a patch marked, or under a map of where a model looks."""

from __future__ import annotations

import base64
import io

import numpy as np
from matplotlib import colormaps
from PIL import Image, ImageDraw

from selfprompt.runs.record import SIDE

MARK = "#ff2e88"


def marked(image: Image.Image, row: int, column: int, patches: int) -> Image.Image:
    """A picture with the frame of one of ``patches`` x ``patches`` patches."""
    image, size = image.copy(), SIDE / patches
    box = (column * size, row * size, (column + 1) * size - 1, (row + 1) * size - 1)
    ImageDraw.Draw(image).rectangle(box, outline=MARK, width=max(2, SIDE // 40))
    return image


def overlaid(image: Image.Image, weights: np.ndarray) -> Image.Image:
    """A picture under a map of (M,) weights of its patches, the largest the brightest."""
    side = round(len(weights) ** 0.5)
    scaled = (weights - weights.min()) / max(float(np.ptp(weights)), 1e-12)
    small = Image.fromarray((255 * scaled.reshape(side, side)).astype(np.uint8))
    heat = np.asarray(small.resize((SIDE, SIDE), Image.Resampling.BICUBIC), dtype=np.float32) / 255
    colours = Image.fromarray((255 * colormaps["inferno"](heat)[..., :3]).astype(np.uint8))
    return Image.blend(image.convert("L").convert("RGB"), colours, 0.6)


def source(image: Image.Image) -> str:
    """A picture as the address of an ``img``, within the page itself."""
    out = io.BytesIO()
    image.save(out, format="JPEG", quality=82)
    return "data:image/jpeg;base64," + base64.b64encode(out.getvalue()).decode()
