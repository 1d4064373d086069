"""A small random pair of towers in open_clip's format, with a vocabulary of bytes and a few merges."""

from __future__ import annotations

import gzip
import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import selfprompt as sp
from selfprompt.backbones.clip import DualEncoder
from selfprompt.backbones.open_clip import wrap
from selfprompt.model import PromptedModel

open_clip = pytest.importorskip("open_clip")

MERGES = (
    "#version\nt h\nth e</w>\nd o\ndo g</w>\nc a\nca t</w>\nb i\nbi r\nbir d</w>\n"
    "p h\nph o\nt o</w>\npho to</w>\no f</w>"
)
VOCABULARY = 512 + MERGES.count("\n") + 2
VISION = {"image_size": 32, "patch_size": 8, "width": 32, "layers": 3, "head_width": 16, "mlp_ratio": 2.0}
TEXT = {"context_length": 40, "vocab_size": VOCABULARY, "width": 24, "heads": 2, "layers": 3, "mlp_ratio": 2.0}
NAMES = ["cat", "the dog", "a bird of paradise"]


@lru_cache
def merges() -> Path:
    """The merges, in a file as open_clip's tokenizer wants it."""
    import tempfile

    path = Path(tempfile.mkdtemp()) / "bpe.txt.gz"
    path.write_bytes(gzip.compress(MERGES.encode()))
    return path


def tokenizer() -> Any:
    return open_clip.SimpleTokenizer(bpe_path=str(merges()), context_length=TEXT["context_length"])


def tiny_open_clip(seed: int = 0, **changes: Any) -> Any:
    """open_clip's model, every weight off its default."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        vision, text = VISION | changes.pop("vision", {}), TEXT | changes.pop("text", {})
        model = open_clip.model.CLIP(20, vision, text, **{"quick_gelu": True, **changes}).eval()
        for name, parameter in model.named_parameters():
            if name != "logit_scale":
                parameter.data += 0.1 * torch.randn_like(parameter)
    return model


def tiny_clip(seed: int = 0, **changes: Any) -> DualEncoder:
    return wrap(tiny_open_clip(seed, **changes), tokenizer(), "tiny clip", {"mean": (0.5,) * 3, "std": (0.25,) * 3})


def write_clip(folder: Path, seed: int = 0) -> Path:
    """A folder in open_clip's format."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {"embed_dim": 20, "quick_gelu": True, "vision_cfg": VISION, "text_cfg": TEXT}
    preprocess = {"mean": [0.5] * 3, "std": [0.25] * 3, "interpolation": "bicubic", "resize_mode": "shortest"}
    whole = {"model_cfg": config, "preprocess_cfg": preprocess}
    (folder / "open_clip_config.json").write_text(json.dumps(whole), encoding="utf-8")
    state = {k: v.contiguous() for k, v in tiny_open_clip(seed).state_dict().items()}
    save_file(state, folder / "open_clip_model.safetensors")
    (folder / "bpe.txt.gz").write_bytes(merges().read_bytes())
    return folder


def started(method: str, names: list[str] = NAMES, seed: int = 0, **fields: object) -> PromptedModel:
    if method == "lora":
        pytest.importorskip("peft")
    if "num_prompts" in sp.describe(method).factory.model_fields:
        fields = {"num_prompts": 4, **fields}
    model = sp.create_model(tiny_clip(), method, class_names=names, seed=seed, **fields)
    model.initialize([torch.randn(6, 3, 32, 32, generator=torch.Generator().manual_seed(2))])
    return model.eval()


def examples(seed: int, count: int = 24) -> sp.Examples:
    pixels = np.random.default_rng(seed).integers(0, 120, (count, 32, 32, 3), dtype=np.uint8)
    for i in range(count):
        pixels[i, 10 * (i % 3) : 10 * (i % 3) + 10] += 100
    return sp.Examples(list(pixels), np.arange(count) % 3)
