"""Openclipart's drawings by theme, from the Debian package openclipart-png."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image

from selfprompt.data.datasets import Dataset, Examples
from selfprompt.data.images import to_rgb
from selfprompt.errors import UserError
from selfprompt.registry import Record

RECORD = Record(
    name="clipart",
    title="Open Clip Art Library",
    url="https://openclipart.org",
    idea="Drawings of twelve themes, public domain, where Debian's openclipart-png is installed.",
    debian="openclipart-png",
)
ROOT = Path("/usr/share/openclipart/png")
CLASSES, PER_CLASS, SIDE = 12, 130, 64
LARGEST_FILE = 200_000


@lru_cache
def load() -> Dataset:
    """The twelve themes (top folders) with most drawings, 130 of each (files under 200 kB), scaled to 64 pixels.

    Raises:
        UserError: The package is not installed.
    """
    if not ROOT.is_dir():
        raise UserError("The data set clipart needs a Debian package: apt-get install openclipart-png.")
    small = [path for path in sorted(ROOT.rglob("*.png")) if path.stat().st_size < LARGEST_FILE]
    themes: dict[str, list[Path]] = {}
    for path in small:
        themes.setdefault(path.relative_to(ROOT).parts[0], []).append(path)
    largest = sorted(sorted(themes, key=lambda name: -len(themes[name]))[:CLASSES])
    images, labels = [], []
    for label, name in enumerate(largest):
        files = themes[name]
        for index in np.random.default_rng(label).permutation(len(files))[:PER_CLASS]:
            with Image.open(files[index]) as image:
                image.thumbnail((SIDE, SIDE))
                images.append(np.asarray(to_rgb(image)))
            labels.append(label)
    return Dataset("clipart", tuple(largest), Examples(images, np.asarray(labels)), licence="public domain")
