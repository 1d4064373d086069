"""What TPT costs an image, against the published form that reads every class's text at full length, twice and back.

    python benchmarks/test_time.py --classes 1000 --out benchmarks/results/test-time.json

Both towers of CLIP's ViT-B/16 with random weights, 64 views of 224 pixels, four prompts, the names of ImageNet's
first classes, float32. The published form is written here, in plain torch: the views, the texts at 77 tokens with
activations for the backward pass, one step of AdamW, the texts again. Its texts run in parts, as activations take
19 MB a class; each part is given the gradient that belongs to all classes, so that no work is added. Both are
timed in turn; ours answers its images in a process of its own, too, whose peak memory is told.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

import open_clip
import torch
import torch.nn.functional as F
from torch import Tensor

import selfprompt as sp
from class_texts import imagenet, published, towers
from selfprompt.adaptations import make_adaptation
from selfprompt.backbones.open_clip import wrap
from selfprompt.heads.class_text import ClassText
from selfprompt.memory import peak_memory
from selfprompt.model import PromptedModel
from selfprompt.objectives.entropy import confident, entropy, log_mean
from selfprompt.prompts.insertion.base import drawing

VIEWS, PART = 64, 100


def ours(pair: torch.nn.Module, classes: int) -> PromptedModel:
    """The model that is adapted: zero-shot, whose words are tuned."""
    names = imagenet(classes)
    wrapped = wrap(pair, open_clip.get_tokenizer("ViT-B-16"), "ViT-B-16", {})
    return sp.create_model(wrapped, "zeroshot", class_names=names).eval()


def slots(head: ClassText, count: int) -> list[list[list[int]]]:
    """The ids of the classes' texts, prompts in the place of the words before the name, in parts."""
    rows = [[*row[:1], *range(-1, -1 - count, -1), *row[1 + count :]] for row in head.rows[0]]
    return [rows[i : i + PART] for i in range(0, len(rows), PART)]


def unit(pair: torch.nn.Module, views: Tensor) -> Tensor:
    """Features of views."""
    with torch.no_grad():
        return F.normalize(pair.encode_image(views), dim=-1)


def pulls(pair: torch.nn.Module, head: ClassText, start: Tensor, views: Tensor) -> list[Tensor]:
    """The gradient of the entropy with respect to the classes' features, in parts; not timed."""
    with torch.no_grad():
        weights = torch.cat([published(pair, part, start) for part in slots(head, start.shape[1])])
    scores = head.scale.exp() * unit(pair, views) @ weights.requires_grad_().T
    entropy(log_mean(scores[confident(scores[None], 0.1)[0]][None])).sum().backward()
    assert weights.grad is not None
    return list(weights.grad.split(PART))


def as_published(
    pair: torch.nn.Module, head: ClassText, start: Tensor, views: Tensor, pulled: list[Tensor]
) -> Tensor:
    """The scores (C,) of an image's plain view."""
    seen, prompts, parts = unit(pair, views), start.detach().clone().requires_grad_(), slots(head, start.shape[1])
    for part, pull in zip(parts, pulled):
        published(pair, part, prompts).backward(pull)
    torch.optim.AdamW([prompts], lr=5e-3, weight_decay=0.01).step()
    with torch.no_grad():
        tuned = torch.cat([published(pair, part, prompts) for part in parts])
        return (head.scale.exp() * seen[:1] @ tuned.T)[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--classes", type=int, default=1000)
    parser.add_argument("--images", type=int, default=2)
    parser.add_argument("--ours", action="store_true", help="answer with ours alone, and tell the peak memory")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    pair = towers({"image_size": 224, "patch_size": 16, "width": 768, "layers": 12})
    model = ours(pair, args.classes)
    adapted = make_adaptation(f"tpt:views={VIEWS}").adapted(model)
    head = adapted.model.head
    assert isinstance(head, ClassText)
    start = adapted.model.prompts
    assert start is not None
    with drawing(1):
        views = torch.randn(args.images, VIEWS, 3, 224, 224)
    times: dict[str, list[float]] = {"published": [], "ours": []}
    with adapted.folded():
        if args.ours:
            del pair  # the model as it came is not needed to answer
            for one in views:
                adapted(one)
            print(peak_memory(torch.device("cpu")) / 2**30)
            return
        differences = []
        for one in views:
            pulled = pulls(pair, head, start, one)
            begun = time.process_time()
            plain = as_published(pair, head, start, one, pulled)
            middle = time.process_time()
            scores = adapted(one)[0]
            times["published"].append(middle - begun)
            times["ours"].append(time.process_time() - middle)
            differences.append(float((plain - scores).abs().max()))
    again = [sys.executable, __file__, "--ours", "--classes", str(args.classes), "--images", str(args.images)]
    memory = float(subprocess.run(again, check=True, capture_output=True, text=True).stdout.split()[-1])
    found = {
        "machine": f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}",
        "classes": args.classes,
        "views": VIEWS,
        "images": args.images,
        "seconds": {k: statistics.median(v) for k, v in times.items()},
        "faster": statistics.median(a / b for a, b in zip(times["published"], times["ours"])),
        "our_peak_gib": memory,
        "score_difference": max(differences),
    }
    print(json.dumps(found, indent=1))
    if args.out:
        args.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
