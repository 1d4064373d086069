"""What the library answers today, written down: adapters, logits, training logs and protocol hashes.

    python tests/regression/record.py tests/regression/v1

Run once for each adapter format, before the format changes; test_v1.py holds what was recorded. Everything is made
through the public interface, on the built-in backbone and on a tiny random one whose weights stand beside.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from timm.models.vision_transformer import VisionTransformer

import selfprompt as sp
from selfprompt.methods import make_method

TINY = {"img_size": 32, "patch_size": 8, "embed_dim": 16, "depth": 3, "num_heads": 2, "num_classes": 0}
ADAPTERS = {
    **{name: {} for name in sp.list_methods() if (m := make_method(name)).head() != "class_text" and not m.texts},
    "lora": {"rank": 2},
    "vpt-shallow": {"shallow": True},
    "vpt-mae": {"readout": "mae_average"},
    "spt": {"head_norm": "batch", "prompt_rms": 0.1},
    "spt-kmeans": {"prototypes": "kmeans"},
    "e2vpt-pruned": {"prune_tokens": 0.5, "prune_segments": 0.5},
    "pc": {"keep": 0.5},
}
RUNS = {
    "spt": {},
    "pc": {},
    "spt-ema-flip": {"recipe": {"ema_decay": 0.9, "clip_grad": 1.0}, "protocol": {"augmentation": "flip"}},
    "gatevpt-sgd": {"recipe": {"optimizer": "sgd", "lr": 0.05}},
    "e2vpt-pruned": {"fields": {"prune_tokens": 0.5}},
    "linear": {},
    "full": {"recipe": {"lr": 1e-3}},
}
PROTOCOLS = {
    "default": {},
    "mini": {"image_size": 32, "mean": (0.5,) * 3, "std": (0.25,) * 3, "train_images": 1000, "final": "train+val"},
    "flip": {"augmentation": "flip", "resize": "squash", "selection": "last", "split_seed": 3, "val_fraction": 0.1},
}


def images(seed: int, count: int) -> np.ndarray:
    """(count, 32, 32, 3) uint8, drawn from numpy's stable generator; class i % 3 is a bright band of its own."""
    pixels = np.random.default_rng(seed).integers(0, 120, (count, 32, 32, 3), dtype=np.uint8)
    for i in range(count):
        pixels[i, 10 * (i % 3) : 10 * (i % 3) + 10] += 100
    return pixels


def examples(seed: int, count: int) -> sp.Examples:
    """Images with their labels."""
    return sp.Examples(list(images(seed, count)), np.arange(count) % 3)


def model(name: str, backbone: str, **fields: Any) -> sp.PromptedModel:
    """An untrained model of an adapter's or run's name."""
    method = name.partition("-")[0]
    if "num_prompts" in sp.describe(method).factory.model_fields:
        fields = {"num_prompts": 4, **fields}
    return sp.create_model(backbone, method, num_classes=3, class_names=["top", "middle", "bottom"], **fields)


def logits(made: sp.PromptedModel) -> np.ndarray:
    """What a model says of eight images."""
    with torch.no_grad():
        return made.eval()(torch.from_numpy(images(7, 8)).permute(0, 3, 1, 2)).float().numpy()


def run(name: str, backbone: str, folder: Path) -> str:
    """The log of a short run."""
    wanted = RUNS[name]
    made = model(name, backbone, **wanted.get("fields", {}))
    if "protocol" in wanted:
        made = model(
            name,
            backbone,
            protocol=made.protocol.model_copy(update=wanted["protocol"]),
            **wanted.get("fields", {}),
        )
    recipe = {"epochs": 3, "batch_size": 8, "lr": 1e-2, "precision": "float32", **wanted.get("recipe", {})}
    sp.fit(made, examples(1, 24), examples(2, 12), recipe=sp.Recipe(**recipe), output_dir=folder, seed=3)
    return (folder / "log.jsonl").read_text(encoding="utf-8")


def tiny(path: Path) -> None:
    """A small random backbone in a file of its own."""
    torch.manual_seed(0)
    vit = VisionTransformer(**TINY)
    for parameter in vit.parameters():
        parameter.data += 0.2 * torch.randn_like(parameter)
    header = {"architecture": TINY, "pretraining": "supervised", "mean": (0.5,) * 3, "std": (0.25,) * 3}
    header |= {"interpolation": "bicubic", "crop_fraction": 1.0}
    weights = {key: value.contiguous() for key, value in vit.state_dict().items()}
    save_file(weights, path, metadata={"selfprompt": json.dumps(header)})


def main(out: Path) -> None:
    torch.set_num_threads(1)
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    tiny(out / "tiny.safetensors")
    answers = {}
    for backbone in (str(out / "tiny.safetensors"), "builtin"):
        for name, fields in ADAPTERS.items():
            if backbone == "builtin" and name not in ("spt", "vpt", "linear"):
                continue
            made = model(name, backbone, **fields)
            recipe = sp.Recipe(epochs=2, batch_size=8, lr=1e-2, precision="float32")
            sp.fit(made, examples(1, 24), examples(2, 12), recipe=recipe, seed=3)
            key = name if backbone != "builtin" else f"{name}-builtin"
            made.save_pretrained(out / key)
            (out / key / "README.md").unlink()
            answers[key] = logits(sp.load(out / key))
    np.savez_compressed(out / "logits.npz", **answers)
    with tempfile.TemporaryDirectory() as folder:
        logs = {name: run(name, str(out / "tiny.safetensors"), Path(folder) / name) for name in RUNS}
    hashes = {name: sp.Protocol(**fields).hash for name, fields in PROTOCOLS.items()}
    for name, content in (("logs.json", logs), ("protocols.json", hashes)):
        (out / name).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
