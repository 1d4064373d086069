"""The small ViT that the package ships, pretrained by masked autoencoding (its card: builtin_vit/README.md)."""

from __future__ import annotations

from pathlib import Path

from selfprompt.backbones.checkpoints import load_file
from selfprompt.backbones.vit import ViT
from selfprompt.registry import Record

RECORD = Record(
    name="builtin",
    title="ViT, 8 blocks of width 128, patches of 4 on 32 by 32 pixels, pretrained by masked autoencoding",
    idea="Works offline on a laptop: 1.6 million weights, trained on clothes and clip art without labels.",
    year=2026,
    pretrained_on=("clipart",),
)

WEIGHTS = Path(__file__).parent / "builtin_vit" / "vit_tiny_mae.safetensors"


def load(weights: bool = True) -> ViT:
    """The packaged backbone (see `load_file`)."""
    return load_file(WEIGHTS, weights)
