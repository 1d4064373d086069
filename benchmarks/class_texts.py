"""What the texts of classes cost a step of CoOp, against the published form that runs every text at full length.

    python benchmarks/class_texts.py --classes 100 1000 --prompts 4 16 --out benchmarks/results/class-texts.json

The text tower of CLIP's ViT-B/16 (width 512, 12 blocks, 77 positions) with random weights, the names of ImageNet's
first classes. The published form is written here, in plain torch: all classes at 77 tokens, each step. Both are timed
in turn in one process; memory is what the backward pass holds. Where the published form would hold more than
``--most`` GiB, its classes are run in parts, one after the other, and its memory is the sum.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from pathlib import Path

import open_clip
import torch
import torch.nn.functional as F
from torch import Tensor

from selfprompt.backbones.open_clip import wrap
from selfprompt.heads.class_text import ClassText, padded
from selfprompt.prompts.insertion.base import drawing
from selfprompt.prompts.insertion.words import AmongWords
from selfprompt.tower import Tower

GIB = 2**30


def towers(vision: dict[str, int]) -> torch.nn.Module:
    """open_clip's pair with the text tower of ViT-B/16, frozen, of random weights."""
    text = {"context_length": 77, "vocab_size": 49408, "width": 512, "heads": 8, "layers": 12}
    with drawing(0):
        model = open_clip.model.CLIP(512, vision, text, quick_gelu=True)
    return model.eval().requires_grad_(False)


def imagenet(classes: int) -> list[str]:
    """Names of ImageNet's first classes, all different: of twins, the second has another of WordNet's words."""
    other, names = {"missile": "projectile", "sunglasses": "sunglass"}, []
    for name in open_clip.IMAGENET_CLASSNAMES[:classes]:
        names.append(other[name] if name in names else name)
    return names


def published(model: torch.nn.Module, rows: list[list[int]], prompts: Tensor) -> Tensor:
    """Unit features (C, F): every text padded to 77 tokens, as CoOp's code runs them."""
    text = padded(rows, torch.device("cpu"))
    ids = F.pad(text.ids, (0, 77 - text.ids.shape[1]))
    x = model.token_embedding(ids.clamp(min=0))
    count = prompts.shape[1]
    x = torch.cat([x[:, :1], prompts.expand(len(x), -1, -1), x[:, 1 + count :]], dim=1) + model.positional_embedding
    x = model.ln_final(model.transformer(x, attn_mask=model.attn_mask))
    return F.normalize(x[torch.arange(len(x)), text.at] @ model.text_projection, dim=-1)


class Held:
    """Bytes that autograd keeps for the backward pass, weights apart, each storage once."""

    def __init__(self, model: torch.nn.Module) -> None:
        self.weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
        self.seen: dict[int, int] = {}

    def keep(self, value: Tensor) -> Tensor:
        storage = value.untyped_storage()
        if storage.data_ptr() not in self.weights:
            self.seen[storage.data_ptr()] = storage.nbytes()
        return value


def step(features: object, prompts: Tensor, pull: Tensor, model: torch.nn.Module, measure: bool = False) -> tuple:
    """Features, the gradient of the prompts, and the bytes held between."""
    prompts.grad = None
    held = Held(model)
    if measure:
        with torch.autograd.graph.saved_tensors_hooks(held.keep, lambda value: value):
            made = features()
    else:
        made = features()
    (made * pull).sum().backward()
    return made.detach(), prompts.grad.clone(), sum(held.seen.values())


def compare(classes: int, count: int, rounds: int, most: float) -> dict[str, object]:
    """Both forms of one size, timed in turn."""
    model = towers({"image_size": 32, "patch_size": 16, "width": 64, "layers": 1})
    with drawing(0):
        start = 0.02 * torch.randn(1, count, 512)
    pair = wrap(model, open_clip.get_tokenizer("ViT-B-16"), "ViT-B-16", {})
    insertion = AmongWords(count, 512)
    insertion.prompts.data.copy_(start)
    names = imagenet(classes)
    head = ClassText(
        Tower(pair.text, insertion, "backbone", lambda x: x), names, [f"{{soft:{count}}} {{}}."], pair.scale
    )
    with drawing(1):
        pull = torch.randn(classes, 512)
    own, rows = start.clone().requires_grad_(), head.rows[0]
    part = max(1, min(classes, int(most * GIB / 19e6)))
    times: dict[str, list[float]] = {"published": [], "ours": []}
    for round_ in range(rounds + 1):
        measure = round_ == 0
        begun = time.monotonic()
        made, held = [], 0
        gradient = torch.zeros_like(own)
        for first in range(0, classes, part):
            some = slice(first, first + part)
            a, g, h = step(lambda some=some: published(model, rows[some], own), own, pull[some], model, measure)
            made.append(a)
            gradient, held = gradient + g, held + h
        middle = time.monotonic()
        ours, our_gradient, our_held = step(head.weights, insertion.prompts, pull, head, measure)
        if measure:
            memory = {"published": held, "ours": our_held}
            continue
        times["published"].append(middle - begun)
        times["ours"].append(time.monotonic() - middle)
    plain = torch.cat(made)
    return {
        "classes": classes,
        "prompts": count,
        "seconds": {k: statistics.median(v) for k, v in times.items()},
        "held_mib": {k: v / 2**20 for k, v in memory.items()},
        "faster": statistics.median(a / b for a, b in zip(times["published"], times["ours"])),
        "less_memory": memory["published"] / memory["ours"],
        "feature_difference": float((plain - ours).abs().max()),
        "gradient_difference": float((gradient - our_gradient).norm() / gradient.norm()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--classes", type=int, nargs="+", default=[100, 1000])
    parser.add_argument("--prompts", type=int, nargs="+", default=[4, 16])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--most", type=float, default=4.0, help="GiB that the published form may hold at once")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    rows = []
    for classes in args.classes:
        for count in args.prompts:
            rows.append(compare(classes, count, args.rounds, args.most))
            print(json.dumps(rows[-1]), flush=True)
    machine = f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}"
    if args.out:
        args.out.write_text(json.dumps({"machine": machine, "rows": rows}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
