"""Images: resized, cropped, augmented, and normalised on the device."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from selfprompt.data.images import read_image
from selfprompt.data.pairs import checked
from selfprompt.data.protocol import Protocol
from selfprompt.data.views.base import Variation, View
from selfprompt.inputs import Inputs

FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
MOST_PIXELS = 2**24  # of a resized image; a strip that would have more is cropped as it is resized


@dataclass(frozen=True)
class ImageView(View):
    """Images as an image protocol has them: (B, 3, S, S) uint8, normalised on the device."""

    protocol: Protocol

    @property
    def augments(self) -> bool:
        return self.protocol.augmentation != "none"

    def accept(self, source: Any) -> Any:
        return checked(source)

    def read(self, source: Any, rng: np.random.Generator | None = None) -> np.ndarray:
        return prepare_image(read_image(source, self.protocol.value_range), self.protocol, rng)

    def views(self, source: Any, variation: Variation) -> list[np.ndarray]:
        """After the plain view, random resized crops, each flipped or not."""
        image = read_image(source, self.protocol.value_range)
        plain = prepare_image(image, self.protocol)
        rng = np.random.default_rng((variation.seed, zlib.crc32(plain.tobytes())))
        crop = partial(random_crop, image, self.protocol, rng, variation.scale)
        mirror = rng if variation.flip else None
        return [plain] + [pixels(flipped(crop(), mirror)) for _ in range(variation.count - 1)]

    def collate(self, read: Iterable[Any], count: int) -> Tensor:
        side = self.protocol.image_size
        images = np.empty((count, 3, side, side), dtype=np.uint8)
        for row, image in enumerate(read):
            images[row] = image
        return torch.from_numpy(images)

    def prepare(self, inputs: Inputs) -> Inputs:
        """uint8 images to ``(x / 255 - mean) / std``; floats are left as they are."""
        if not isinstance(inputs, Tensor) or inputs.dtype != torch.uint8:
            return inputs
        mean = torch.tensor(self.protocol.mean, device=inputs.device).view(1, -1, 1, 1)
        std = torch.tensor(self.protocol.std, device=inputs.device).view(1, -1, 1, 1)
        return (inputs.float() / 255.0 - mean) / std

    def size(self, count: int) -> int:
        return 3 * self.protocol.image_size**2 * count


def prepare_image(image: Image.Image, protocol: Protocol, rng: np.random.Generator | None = None) -> np.ndarray:
    """Resize, crop and (with ``rng``) augment one RGB image to a (3, S, S) uint8 array."""
    size, how = protocol.image_size, FILTERS[protocol.interpolation]
    moved = protocol.augmentation.removesuffix("randaugment").removesuffix("+")
    if rng is not None and moved == "squash_crop_flip":
        image = image.resize((size, size), how)
    if rng is not None and moved in ("crop_flip", "squash_crop_flip"):
        image = random_crop(image, protocol, rng)
    elif protocol.resize == "squash":
        image = image.resize((size, size), how)
    else:
        short = max(size, round(size / protocol.crop_fraction))
        scale = short / min(image.size)
        width, height = (max(short, round(side * scale)) for side in image.size)
        left, top = (width - size) // 2, (height - size) // 2
        if rng is not None and moved == "resize_crop_flip":
            left, top = int(rng.integers(width - size + 1)), int(rng.integers(height - size + 1))
        if width * height <= MOST_PIXELS:
            image = image.resize((width, height), how).crop((left, top, left + size, top + size))
        else:
            x, y = image.width / width, image.height / height
            right, bottom = min(image.width, (left + size) * x), min(image.height, (top + size) * y)
            image = image.resize((size, size), how, box=(left * x, top * y, right, bottom))
    image = flipped(image, rng if moved not in ("", "none") else None)
    if rng is not None and protocol.augmentation.endswith("randaugment"):
        from selfprompt.data.views.randaugment import randaugment  # it imports torchvision

        image = randaugment(image, rng)
    return pixels(image)


def random_crop(image: Image.Image, protocol: Protocol, rng: np.random.Generator, least: float = 0.08) -> Image.Image:
    """A random resized crop of an RGB image."""
    size, box = protocol.image_size, random_crop_box(*image.size, rng, least)
    return image.resize((size, size), FILTERS[protocol.interpolation], box=box)


def flipped(image: Image.Image, rng: np.random.Generator | None) -> Image.Image:
    """An image; with ``rng``, half of the time its mirror image."""
    return ImageOps.mirror(image) if rng is not None and rng.random() < 0.5 else image


def pixels(image: Image.Image) -> np.ndarray:
    """An RGB image as a (3, H, W) uint8 array."""
    return np.ascontiguousarray(np.asarray(image).transpose(2, 0, 1))


def random_crop_box(
    width: int, height: int, rng: np.random.Generator, least: float = 0.08
) -> tuple[float, float, float, float]:
    """A box of ``least`` to 100 % of the area and aspect 3/4 to 4/3 (the usual random resized crop)."""
    for _ in range(10):
        area = width * height * rng.uniform(least, 1.0)
        aspect = np.exp(rng.uniform(np.log(3 / 4), np.log(4 / 3)))
        w, h = round(np.sqrt(area * aspect)), round(np.sqrt(area / aspect))
        if 0 < w <= width and 0 < h <= height:
            left, top = int(rng.integers(width - w + 1)), int(rng.integers(height - h + 1))
            return left, top, left + w, top + h
    side = min(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    return left, top, left + side, top + side
