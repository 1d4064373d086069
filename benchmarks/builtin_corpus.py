"""Lay out the images that the built-in backbone is pretrained on, from two Debian packages.

    apt-get install dataset-fashion-mnist openclipart-png
    python benchmarks/builtin_corpus.py corpus
    selfprompt pretrain corpus --out vit_tiny_mae.safetensors

The 60,000 training images of Fashion-MNIST (MIT licence; labels are not read, the 10,000 test images not
touched) and openclipart's PNGs (public domain), each in a folder of its own, so that both are seen equally often.
"""

from __future__ import annotations

import argparse
import gzip
from pathlib import Path

import numpy as np
from PIL import Image

Image.MAX_IMAGE_PIXELS = None  # openclipart holds a poster of 231 megapixels, and comes from a trusted package
FASHION = Path("/usr/share/datasets/fashion-mnist/train-images-idx3-ubyte.gz")
CLIPART = Path("/usr/share/openclipart/png")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    out = parser.parse_args().out
    for needed, package in ((FASHION, "dataset-fashion-mnist"), (CLIPART, "openclipart-png")):
        if not needed.exists():
            parser.error(f"{needed} is missing: apt-get install {package}")

    pixels = np.frombuffer(gzip.decompress(FASHION.read_bytes()), dtype=np.uint8, offset=16)
    (out / "fashion-mnist").mkdir(parents=True, exist_ok=True)
    for index, image in enumerate(pixels.reshape(-1, 28, 28)):
        Image.fromarray(image).save(out / "fashion-mnist" / f"{index:05d}.png")

    (out / "openclipart").mkdir(exist_ok=True)
    for source in sorted(CLIPART.rglob("*.png")):
        target = out / "openclipart" / "-".join(source.relative_to(CLIPART).parts)
        with Image.open(source) as image:
            image = image.convert("RGBA")
            image.thumbnail((128, 128))
            image.save(target)


if __name__ == "__main__":
    main()
