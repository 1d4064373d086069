"""A server around a few tiny adapters, and images to send to it."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import torch
from fastapi.testclient import TestClient
from PIL import Image

import selfprompt as sp
from conftest import make_backbone
from selfprompt.serving.server import app
from selfprompt.serving.settings import Settings

NAMES = {
    "birds": ("vpt", ["hen", "owl"]),
    "cars": ("spt", ["bus", "van", "cab"]),
    "probe": ("linear", ["a", "b", "c", "d"]),
}


def save_adapters(folder: Path) -> dict[str, Path]:
    """Three tiny adapters of one backbone."""
    paths = {}
    for seed, (name, (method, classes)) in enumerate(NAMES.items()):
        fields: dict[str, Any] = {} if method == "linear" else {"num_prompts": 3 + 2 * seed}
        model = sp.create_model(make_backbone(), method, class_names=classes, seed=seed, **fields)
        start = torch.randn(6, 3, 32, 32, generator=torch.Generator().manual_seed(seed))
        model.initialize([start], seed=seed)
        with torch.no_grad():
            model.head.linear.weight.normal_(std=0.5, generator=torch.Generator().manual_seed(seed))
        paths[name] = folder / name
        model.save_pretrained(paths[name])
    return paths


def make_pool(paths: dict[str, Path]) -> sp.AdapterPool:
    pool = sp.AdapterPool(make_backbone())
    for name, path in paths.items():
        pool.add(name, path)
    return pool


def client_of(pool: sp.AdapterPool, **settings: Any) -> TestClient:
    """To be used in a with statement, in which the server runs."""
    return TestClient(app(pool, Settings(**settings)), base_url="http://localhost", raise_server_exceptions=False)


def picture(seed: int, form: str = "PNG", size: tuple[int, int] = (40, 50)) -> bytes:
    """A file of random blocks."""
    rng, file = np.random.default_rng(seed), io.BytesIO()
    blocks = Image.fromarray(rng.integers(0, 256, (4, 4, 3), dtype=np.uint8))
    blocks.resize(size, Image.Resampling.NEAREST).save(file, form)
    return file.getvalue()


def form(*images: bytes) -> list[tuple[str, tuple[str, bytes, str]]]:
    """Files of a form."""
    return [("images", (f"{i}.png", data, "image/png")) for i, data in enumerate(images)]
