"""Whether the look at data finds what is planted: flipped labels and pictures saved anew, three seeds.

    python benchmarks/data_check.py --out benchmarks/results/data-check.json

Each seed draws 980 images of mnist5k: 800 to train, of which 40 get another label, and 180 to test, to which 20 of
the 800 are added once more: 5 % brighter, saved as JPEG of quality 80. Labels are judged by the built-in backbone's
features of all 1,000. Beside it, how many near duplicates are reported in packaged images where none is planted.
"""

from __future__ import annotations

import argparse
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageEnhance

from selfprompt.assembly import build
from selfprompt.backbones.load import load_backbone
from selfprompt.data.batches import Decoded
from selfprompt.data.checks.doubles import NEAR, exact, fingerprint, near
from selfprompt.data.checks.labels import out_of_fold, ranked, suspects
from selfprompt.data.examples import Examples
from selfprompt.data.images import read_image
from selfprompt.data.sources import load_located
from selfprompt.methods.linear import Linear
from selfprompt.tuning.fixed_features import frozen_features

TRAIN, TEST, FLIPPED, COPIES = 800, 180, 40, 20
UNTOUCHED = ("mnist5k", "digits", "clipart", "photos")


def saved_anew(image: Image.Image) -> Image.Image:
    file = io.BytesIO()
    ImageEnhance.Brightness(image).enhance(1.05).save(file, "JPEG", quality=80)
    return read_image(file.getvalue())


def planted(seed: int) -> dict[str, Any]:
    """What is found of what was planted."""
    data, rng = load_located("mnist5k").train, np.random.default_rng(seed)
    drawn = rng.permutation(len(data))[: TRAIN + TEST]
    images, labels = [read_image(data.images[int(i)]) for i in drawn], data.known_labels[drawn]
    copied, flipped = (np.sort(rng.permutation(TRAIN)[:count]) for count in (COPIES, FLIPPED))
    images += [saved_anew(images[i]) for i in copied]
    given = np.concatenate([labels, labels[copied]])
    given[flipped] = (given[flipped] + rng.integers(1, 10, FLIPPED)) % 10

    splits = np.repeat([0, 1], [TRAIN, TEST + COPIES])
    pairs = {(i, j) for i, j, _ in near(np.stack([fingerprint(image)[1] for image in images]), splits)}
    true = {(int(i), TRAIN + TEST + place) for place, i in enumerate(copied)}

    model = build(Linear(readout="backbone"), load_backbone("builtin"), 10)
    examples = Examples([np.asarray(image) for image in images], given)
    features = frozen_features(model, Decoded(examples, model.protocol, keep=False), 64).features.numpy()
    probabilities = out_of_fold(features, given, 10)
    order, listed = ranked(probabilities, given), [i for i, _ in suspects(probabilities, given)]

    def share(found: Any) -> float:
        return float(np.isin(flipped, found).mean())

    return {
        "seed": seed,
        "copies_found": len(pairs & true) / COPIES,
        "pairs_that_are_none": len(pairs - true),
        "right_out_of_fold": float((probabilities.argmax(axis=1) == given).mean()),
        "flipped_in_the_first_40": share(order[:40]),
        "flipped_in_the_first_80": share(order[:80]),
        "listed": len(listed),
        "flipped_among_the_listed": share(listed),
    }


def untouched(name: str) -> dict[str, Any]:
    """Doubles where none is planted."""
    own = load_located(name).own
    found = [fingerprint(read_image(part.images[i])) for part in own.values() for i in range(len(part))]
    again = {j for _, j in exact([key for key, _ in found])}
    rest = [i for i in range(len(found)) if i not in again]
    splits = np.repeat(np.arange(len(own)), [len(part) for part in own.values()])[rest]
    pairs = list(near(np.stack([found[i][1] for i in rest]), splits))
    return {"data": name, "images": len(found), "exact": len(again), "near": len(pairs)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="a JSON file")
    out = parser.parse_args().out
    rows = [planted(seed) for seed in range(3)]
    keys = [key for key in rows[0] if key != "seed"]
    means = {key: float(np.mean([row[key] for row in rows])) for key in keys}
    result = {"near": NEAR, "seeds": rows, "mean": means, "untouched": [untouched(name) for name in UNTOUCHED]}
    print(json.dumps(result, indent=1))
    if out is not None:
        out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
