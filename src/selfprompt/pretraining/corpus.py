"""The images of a pretraining run, and the batch of each step."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from selfprompt.data.images import ImageSource, common_range, read_image
from selfprompt.data.sources import load_located, locate
from selfprompt.data.sources.folder import images_below
from selfprompt.data.tree import subfolders
from selfprompt.errors import UserError


def load_corpus(data: str | Path, side: int) -> tuple[Tensor, list[np.ndarray]]:
    """All images of a data source, labels unread, as one (N, 3, side, side) uint8 tensor.

    Returns:
        The images, and the index groups that are sampled equally often: the folders directly under a folder,
        or everything as one group.
    """
    sources: list[ImageSource] = []
    groups: list[np.ndarray] = []
    located = locate(data)
    path = Path(located)
    folders = (subfolders(path) or [path]) if path.is_absolute() and path.is_dir() else []
    for found in [images_below(folder, path) for folder in folders] or [
        list(load_located(located, "image").train.images)
    ]:
        if found:
            groups.append(np.arange(len(sources), len(sources) + len(found)))
            sources += found
    if not sources:
        raise UserError(f"{data} has no images to pretrain on.")
    images = np.empty((len(sources), 3, side, side), dtype=np.uint8)
    span = common_range(sources)
    for row, source in enumerate(sources):
        images[row] = np.asarray(read_image(source, span).resize((side, side))).transpose(2, 0, 1)
    return torch.from_numpy(images), groups


def augment(images: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """Random crop (20 to 100 % of the area), flip, inversion and channel gains, one draw for each image.

    Shape: (B, 3, H, W) uint8 to (B, 3, size, size) float in [0, 1].
    """
    batch = len(images)

    def draw(low: float, high: float, *shape: int) -> Tensor:
        return torch.rand(batch, *shape, generator=generator) * (high - low) + low

    scale = draw(0.2, 1.0).sqrt()
    aspect = torch.exp(draw(math.log(3 / 4), math.log(4 / 3)) / 2)
    width, height = (scale * aspect).clamp(max=1), (scale / aspect).clamp(max=1)
    flip = torch.where(draw(0, 1) < 0.5, -1.0, 1.0)
    theta = torch.zeros(batch, 2, 3)
    theta[:, 0, 0], theta[:, 1, 1] = width * flip, height
    theta[:, 0, 2], theta[:, 1, 2] = (1 - width) * draw(-1, 1), (1 - height) * draw(-1, 1)
    grid = F.affine_grid(theta, [batch, 3, size, size], align_corners=False)
    out = F.grid_sample(images.float() / 255, grid, mode="bilinear", padding_mode="border", align_corners=False)
    out = torch.where((draw(0, 1) < 0.5).view(-1, 1, 1, 1), 1 - out, out)
    return (out * draw(0.6, 1.4, 3)[:, :, None, None]).clamp(0, 1)


def draw_batch(images: Tensor, groups: list[np.ndarray], count: int, size: int, generator: torch.Generator) -> Tensor:
    """Augmented images, each of a group drawn at random, whatever the groups' sizes.

    Shape: (N, 3, H, W) uint8 to (count, 3, size, size) float in [0, 1].
    """
    group = torch.randint(len(groups), (count,), generator=generator)
    draws = torch.rand(count, generator=generator).double()
    chosen = [int(groups[g][int(u * len(groups[g]))]) for g, u in zip(group.tolist(), draws.tolist())]
    return augment(images[chosen], size, generator)
