"""Where do random prompts cost a probe its accuracy, and prototypes not? No prompt is trained.

    python benchmarks/precondition.py --data mnist5k,scenes/location --prompts 100 --out DIR
    python benchmarks/precondition.py --backbones a.safetensors,b.safetensors --data cifar10=FOLDER --out DIR

FOLDER has train/CLASS/ and test/CLASS/ (see `selfprompt tune --help`), and NAME=FOLDER a name in the tables. For
every backbone, task, insertion and start: two heads (precondition_heads.py) on the frozen features of so many
training images, tested on so many test images. All readouts come from one forward pass. Cells that are done stand in
OUT/cells.jsonl and are passed over, so that the command resumes; the tables are made of all of them.

Starts: none (no prompts), uniform (VPT's), prototypes (SPT's), and controls: gaussian (each block's token mean and
covariance), centred (the covariance alone), isotropic (the mean, and the covariance's size in every direction), other
(prototypes of another task's images), image (prototypes of one image), shuffled (prototypes, each block with those of
another).
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import selfprompt as sp
from precondition_heads import HEADS
from precondition_tables import write
from selfprompt.backbones.base import Backbone, Tokens
from selfprompt.backbones.load import load_backbone
from selfprompt.data.batches import Decoded
from selfprompt.data.protocol import protocol_for
from selfprompt.data.splits import cut
from selfprompt.prompts.initialization.base import Prompts
from selfprompt.prompts.initialization.gaussian import Gaussian
from selfprompt.prompts.initialization.prototypes import Prototypes
from selfprompt.prompts.initialization.uniform import Uniform
from selfprompt.prompts.insertion.base import Insertion
from selfprompt.prompts.insertion.deep import Deep
from selfprompt.prompts.insertion.none import NoPrompts
from selfprompt.prompts.insertion.shallow import Shallow

BATCH, MOST = 100, 100


class Images:
    """A task's images, decoded as a backbone wants them: so many of its training and of its test images."""

    def __init__(self, data: str, backbone: Backbone, train: int, test: int) -> None:
        self.backbone, self.name = backbone, data
        dataset = sp.load_dataset(data.partition("=")[2] or data)
        protocol = protocol_for(backbone.info, name="precondition")
        splits = sp.with_splits(dataset, protocol)
        self.protocol, self.parts = protocol, {}
        for name, whole, size in (("train", splits.train + splits.val, train), ("test", splits.test, test)):
            if size < len(whole):
                _, kept, _ = cut(whole.labels, np.arange(len(whole)), size, 0, trained=0)
                whole = whole.take(kept)
            self.parts[name] = Decoded(whole, protocol)

    def batches(self, part: str, first: int = 0, count: int = 10**9) -> Iterator[Tensor]:
        """Normalised images of a part."""
        decoded = self.parts[part]
        chosen = np.arange(first, min(len(decoded), first + count))
        for rows in np.array_split(chosen, -(-len(chosen) // BATCH)):
            yield self.backbone.as_input(decoded.get(rows), self.protocol.view().prepare)

    def labels(self, part: str) -> np.ndarray:
        """The labels of a part."""
        return self.parts[part].labels.numpy()


@torch.no_grad()
def features(backbone: Backbone, images: Images, part: str, insertion: Insertion) -> dict[str, np.ndarray]:
    """The features of a part by readout: the final norm of the class token, and of two means."""
    found: dict[str, list[Tensor]] = {"class token": [], "patches": [], "prompts and patches": []}
    with insertion.folded(backbone):
        for batch in images.batches(part):
            tokens = backbone.run(batch, insertion)
            first, last = tokens.num_prefix, tokens.num_prefix + insertion.num_prompts
            for name, x in zip(found, (tokens.x[:, :1], tokens.x[:, last:], tokens.x[:, first:])):
                found[name].append(backbone.readout(Tokens(x), "mae_average"))
    return {name: torch.cat(rows).numpy() for name, rows in found.items()}


class Scan:
    """The starts of one task on one backbone, and what a probe makes of them."""

    def __init__(self, images: Images, other: Images, seeds: int) -> None:
        self.backbone, self.images, self.other, self.seeds = images.backbone, images, other, seeds

    @cache  # noqa: B019 (a scan lives as long as its task)
    def drawn(self, start: str) -> Tensor:
        """(layers, seeds * MOST, D) starting values from one pass, a sample without replacement."""
        kind = Gaussian() if start == "gaussian" else Prototypes()
        source = self.other if start == "other" else self.images
        return kind.prepare(self.backbone, source.batches("train"), self.backbone.depth, self.seeds * MOST, 0).values

    def values(self, start: str, prompts: int, layers: int, seed: int) -> Tensor | None:
        """(layers, P, D); None where there is no such start."""
        backbone = self.backbone
        if start == "uniform":
            return Uniform().prepare(backbone, (), layers, prompts, seed).values
        if start == "image":
            if prompts > backbone.num_patches:
                return None
            one = self.images.batches("train", seed, 1)
            return Prototypes().prepare(backbone, one, layers, prompts, seed).values
        if start == "shuffled":
            if layers == 1:
                return None
            turn = 1 + int(np.random.default_rng(seed).integers(layers - 1))
            values = self.values("prototypes", prompts, layers, seed)
            return None if values is None else values.roll(turn, dims=0)
        mine = slice(seed * MOST, seed * MOST + prompts)
        if start in ("centred", "isotropic"):
            drawn = self.drawn("gaussian")[:layers]
            mean = drawn.mean(dim=1, keepdim=True)
            if start == "centred":
                return (drawn - mean)[:, mine]
            size = (drawn - mean).square().mean(dim=(1, 2), keepdim=True).sqrt()
            return mean + size * torch.randn(drawn.shape, generator=torch.Generator().manual_seed(0))[:, mine]
        return self.drawn(start)[:layers, mine]

    def insertion(self, start: str, prompts: int, shallow: bool, seed: int) -> Insertion | None:
        """Frozen prompts whose outputs the readout can see."""
        if start == "none":
            return NoPrompts()
        width, layers = self.backbone.width, 1 if shallow else self.backbone.depth
        values = self.values(start, prompts, layers, seed)
        if values is None:
            return None
        size = (prompts, width) if shallow else (layers, prompts, width)
        made = (Shallow if shallow else Deep)(*size, keep_outputs=True)
        made.start_from(Prompts(values))
        return made.requires_grad_(False).eval()

    def accuracies(self, insertion: Insertion) -> dict[str, dict[str, float]]:
        """Test accuracy in percent by head and readout."""
        train, test = (features(self.backbone, self.images, part, insertion) for part in ("train", "test"))
        labels, truth = self.images.labels("train"), self.images.labels("test")
        found: dict[str, dict[str, float]] = {}
        for head, answer in HEADS.items():
            right = {name: given == truth for name, given in answer(train, labels, test).items()}
            found[head] = {name: round(100 * float(hits.mean()), 2) for name, hits in right.items()}
        return found


def wanted(args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """The cells of one task on one backbone."""
    yield {"start": "none", "prompts": 0, "shallow": False, "seed": 0}
    for shallow in (False, True) if args.shallow else (False,):
        for prompts in args.prompts:
            for start in args.starts:
                for seed in range(args.seeds):
                    yield {"start": start, "prompts": prompts, "shallow": shallow, "seed": seed}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words = {"type": lambda text: text.split(",")}
    parser.add_argument("--backbones", default=["builtin"], **words)
    parser.add_argument("--data", default=["mnist5k", "scenes/location", "elpv/grade", "photos"], **words)
    parser.add_argument("--other", default="photos", help="the task whose images the start other takes")
    parser.add_argument("--starts", default=["uniform", "prototypes"], **words)
    parser.add_argument("--prompts", default=[100, 20, 5], type=lambda text: [int(n) for n in text.split(",")])
    parser.add_argument("--shallow", action="store_true", help="shallow prompts, too")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--train", type=int, default=500)
    parser.add_argument("--test", type=int, default=500)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    journal = args.out / "cells.jsonl"
    lines = journal.read_text(encoding="utf-8").splitlines() if journal.exists() else []
    done = [json.loads(line) for line in lines]
    for path in args.backbones:
        backbone, name = load_backbone(path), Path(path).stem
        for data in args.data:
            where = {"backbone": name, "data": data.partition("=")[0], "train": args.train, "test": args.test}
            cells = [where | cell for cell in wanted(args)]
            cells = [cell for cell in cells if not any(cell.items() <= there.items() for there in done)]
            if not cells:
                continue
            scan = Scan(*(Images(one, backbone, args.train, args.test) for one in (data, args.other)), args.seeds)
            for cell in cells:
                begun = time.process_time()
                insertion = scan.insertion(cell["start"], cell["prompts"], cell["shallow"], cell["seed"])
                if insertion is None:
                    continue
                accuracies, seconds = scan.accuracies(insertion), round(time.process_time() - begun, 1)
                done.append(cell | {"accuracy": accuracies, "seconds": seconds})
                with journal.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(done[-1]) + "\n")
                print(done[-1], flush=True)
    write(args.out, done)


if __name__ == "__main__":
    main()
