"""The small pair of towers, of images and texts, that the package ships (its card: builtin_clip_towers/README.md)."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from selfprompt.backbones.clip import DualEncoder
from selfprompt.backbones.open_clip import PREFIX, load_open_clip
from selfprompt.registry import Record

RECORD = Record(
    name="builtin-clip",
    title="CLIP, 6 blocks on 32 by 32 pixels and 4 on texts of 32 tokens, width 128",
    idea="Works offline on a laptop: class names instead of labels, learnt from drawings, glyphs and scenes.",
    year=2026,
    pretrained_on=("clipart",),
    extra="clip",
)

FOLDER = Path(__file__).parent / "builtin_clip_towers"


def load() -> DualEncoder:
    """The packaged pair."""
    pair = load_open_clip(f"{PREFIX}{FOLDER}")
    for tower in (pair.image, pair.text):
        tower.info = dataclasses.replace(tower.info, architecture=RECORD.name)
    return pair
