"""Arrays and tensors, in whatever layout and scale they are handed over, as pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

from selfprompt.errors import UserError

CHANNELS = (1, 3, 4)
ROUNDING = 1e-3


def is_array(image: Any) -> bool:
    """Whether an image is an array or a tensor, and not a path or a picture."""
    return isinstance(image, np.ndarray) or is_tensor(image)


def is_tensor(image: Any) -> bool:
    """Whether an image is a tensor of PyTorch (files can be detached, too)."""
    return hasattr(image, "detach") and hasattr(image, "cpu")


def as_it_is_now(image: Any) -> Any:
    """A copy of an image in memory, which whoever gave it may use again for the next; a file is left where it is."""
    if isinstance(image, np.ndarray):
        return image.copy()
    if is_tensor(image):
        return image.detach().clone()
    if isinstance(image, Image.Image):
        one_file = getattr(image, "tile", None) and not getattr(image, "is_animated", False)
        return image if one_file else image.copy()
    return image


def to_pixels(image: Any) -> np.ndarray:
    """An array or tensor as pixels that `read_image` takes.

    Args:
        image: (H, W), (H, W, C) or (C, H, W) with 1, 3 or 4 channels; integers from 0 to 255, floats from 0 to 1, or
            booleans. Where both ends could be channels, an array's are its last axis and a tensor's its first.

    Returns:
        (H, W), (H, W, 3) or (H, W, 4) uint8; 16-bit integers stay as they are.

    Raises:
        UserError: Another shape, or values outside this range, as those of normalised images.
    """
    first = is_tensor(image)
    if first:
        image = image.detach().cpu()
        image = (image.float() if image.is_floating_point() else image).numpy()
    pixels = _channels_last(image, first)
    if pixels.dtype in (np.uint8, np.uint16):
        return pixels
    if pixels.dtype == bool:
        return pixels.astype(np.uint8) * np.uint8(255)
    if pixels.dtype.kind not in "iuf":
        raise UserError(f"An image of {pixels.dtype} values holds no pixels: give uint8 values from 0 to 255.")
    low, high = float(pixels.min()), float(pixels.max())
    if pixels.dtype.kind == "f":
        if not (low >= -ROUNDING and high <= 1 + ROUNDING):  # NaN is refused, too
            raise UserError(
                f"A float image has values from {low:.3g} to {high:.3g}: give floats from 0 to 1 or uint8 pixels, "
                f"not normalised, for the protocol normalises them."
            )
        return (255 * pixels.clip(0, 1)).round().astype(np.uint8)
    if low < 0 or high > 255:
        raise UserError(f"An image has values from {low:.0f} to {high:.0f}: give uint8 pixels, from 0 to 255.")
    return pixels.astype(np.uint8)


def _channels_last(image: np.ndarray, first: bool) -> np.ndarray:
    """(H, W) or (H, W, C) of any layout."""
    if image.ndim == 3 and image.size:
        ends = (image.shape[0] in CHANNELS, image.shape[2] in CHANNELS)
        if ends[0] and (first or not ends[1]):
            image = image.transpose(1, 2, 0)
        if image.shape[2] in CHANNELS:
            return image[..., 0] if image.shape[2] == 1 else image
    elif image.ndim == 2 and image.size:
        return image
    batch = " (a batch: give its images one by one)" if image.ndim == 4 else ""
    raise UserError(
        f"An array of shape {image.shape} is no image{batch}: give (H, W), (H, W, 3), or a (3, H, W) tensor."
    )
