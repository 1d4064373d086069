"""Examples as batches of uint8 tensors.

What is the same in every epoch is decoded once and kept in memory where it fits; the rest is decoded, and
augmented, by threads while the device works on the batch before. Which images stand in which batch, and how
each is augmented, follows from (seed, epoch, index) alone: any epoch can be made again, in any process.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from selfprompt.data.datasets import Examples
from selfprompt.data.images import common_range, name_of, read_image
from selfprompt.data.protocol import Protocol
from selfprompt.errors import UserError
from selfprompt.memory import free_memory

FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
MOST_PIXELS = 2**24  # of a resized image; a strip that would have more is cropped as it is resized
MEMORY_SHARE = 0.4  # of the free memory, for decoded images


def with_value_range(protocol: Protocol, examples: Examples) -> Protocol:
    """The protocol with ``value_range`` as the (training) examples have it, where it is open and they need one."""
    span = protocol.value_range or common_range(examples.images)
    return protocol if span is None else protocol.model_copy(update={"value_range": span})


def prepare_image(image: Image.Image, protocol: Protocol, rng: np.random.Generator | None = None) -> np.ndarray:
    """Resize, crop and (with ``rng``) augment one RGB image to a (3, S, S) uint8 array."""
    size, how = protocol.image_size, FILTERS[protocol.interpolation]
    if rng is not None and protocol.augmentation == "crop_flip":
        image = image.resize((size, size), how, box=random_crop_box(*image.size, rng))
    elif protocol.resize == "squash":
        image = image.resize((size, size), how)
    else:
        short = max(size, round(size / protocol.crop_fraction))
        scale = short / min(image.size)
        width, height = (max(short, round(side * scale)) for side in image.size)
        left, top = (width - size) // 2, (height - size) // 2
        if rng is not None and protocol.augmentation == "resize_crop_flip":
            left, top = int(rng.integers(width - size + 1)), int(rng.integers(height - size + 1))
        if width * height <= MOST_PIXELS:
            image = image.resize((width, height), how).crop((left, top, left + size, top + size))
        else:
            x, y = image.width / width, image.height / height
            right, bottom = min(image.width, (left + size) * x), min(image.height, (top + size) * y)
            image = image.resize((size, size), how, box=(left * x, top * y, right, bottom))
    if rng is not None and protocol.augmentation != "none" and rng.random() < 0.5:
        image = ImageOps.mirror(image)
    return np.ascontiguousarray(np.asarray(image).transpose(2, 0, 1))


def random_crop_box(width: int, height: int, rng: np.random.Generator) -> tuple[float, float, float, float]:
    """A box of 8 to 100 % of the area and aspect 3/4 to 4/3 (the usual random resized crop)."""
    for _ in range(10):
        area = width * height * rng.uniform(0.08, 1.0)
        aspect = np.exp(rng.uniform(np.log(3 / 4), np.log(4 / 3)))
        w, h = round(np.sqrt(area * aspect)), round(np.sqrt(area / aspect))
        if 0 < w <= width and 0 < h <= height:
            left, top = int(rng.integers(width - w + 1)), int(rng.integers(height - h + 1))
            return left, top, left + w, top + h
    side = min(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    return left, top, left + side, top + side


class ImageTensors:
    """The images of one split as uint8 tensors, by index.

    Args:
        examples: The split.
        protocol: How an image becomes a tensor.
        train: Whether the protocol's augmentation applies.
        seed: Seed of the augmentation.

    Raises:
        UserError: From `read_image`, when an image is read: at once where images are kept in memory.
    """

    def __init__(self, examples: Examples, protocol: Protocol, *, train: bool = False, seed: int = 0) -> None:
        self.examples, self.protocol, self.seed = examples, protocol, seed
        self.labels = torch.from_numpy(examples.labels)
        self.augmented = train and protocol.augmentation != "none"
        self._threads = ThreadPoolExecutor(max_workers=torch.get_num_threads(), thread_name_prefix="decode")
        self._kept: Tensor | None = None
        size = 3 * protocol.image_size**2 * len(examples)
        if not self.augmented and size < MEMORY_SHARE * free_memory():
            self._kept = self._decode(np.arange(len(examples)), epoch=0)

    def __len__(self) -> int:
        return len(self.examples)

    def get(self, indices: np.ndarray, epoch: int | None = 0) -> Tensor:
        """The images at ``indices`` as a (B, 3, S, S) uint8 tensor, augmented as in that epoch; not if it is None."""
        if self._kept is not None:
            return self._kept[torch.from_numpy(indices)]
        return self._decode(indices, epoch)

    def _decode(self, indices: np.ndarray, epoch: int | None) -> Tensor:
        def one(index: int) -> np.ndarray:
            drawn = self.augmented and epoch is not None
            rng = np.random.default_rng((self.seed, epoch or 0, index)) if drawn else None
            source = self.examples.images[index]
            try:
                image = read_image(source, self.protocol.value_range)
            except UserError as error:
                raise error if name_of(source) else UserError(f"Image {index}: {error}") from None
            return prepare_image(image, self.protocol, rng)

        size = self.protocol.image_size
        out = np.empty((len(indices), 3, size, size), dtype=np.uint8)
        for row, array in enumerate(self._threads.map(one, indices.tolist())):
            out[row] = array
        return torch.from_numpy(out)

    def batches(self, order: list[np.ndarray], epoch: int | None = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches (images, labels) as `get` gives them, each made while the one before is used."""
        if self._kept is not None:
            for indices in order:
                yield self.get(indices), self.labels[torch.from_numpy(indices)]
            return
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="prefetch") as ahead:
            pending = ahead.submit(self.get, order[0], epoch) if order else None
            for step, indices in enumerate(order):
                assert pending is not None
                images = pending.result()
                pending = ahead.submit(self.get, order[step + 1], epoch) if step + 1 < len(order) else None
                yield images, self.labels[torch.from_numpy(indices)]


def in_order(count: int, batch_size: int) -> list[np.ndarray]:
    """Index batches that run through 0..count-1 once."""
    return [np.arange(start, min(start + batch_size, count)) for start in range(0, count, batch_size)]


def shuffled(count: int, batch_size: int, seed: int, epoch: int) -> list[np.ndarray]:
    """Index batches of one training epoch: a seeded permutation, the short last batch dropped.

    Where there are fewer examples than one batch, the single batch has them all.
    """
    order = np.random.default_rng((seed, epoch)).permutation(count)
    steps = max(1, count // batch_size)
    return [order[i * batch_size : (i + 1) * batch_size] for i in range(steps)]


@dataclass(frozen=True)
class Normalize:
    """uint8 images to the backbone's input range: ``(x / 255 - mean) / std``, on the images' device."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __call__(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) uint8 to float32; the argument is left as it is."""
        mean = torch.tensor(self.mean, device=images.device).view(1, -1, 1, 1)
        std = torch.tensor(self.std, device=images.device).view(1, -1, 1, 1)
        return (images.float() / 255.0 - mean) / std
