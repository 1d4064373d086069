"""The small masked language model that the package ships (its card: builtin_text_model/README.md)."""

from __future__ import annotations

from pathlib import Path

from selfprompt.backbones.text import PREFIX, TextBackbone, load_text
from selfprompt.registry import Record

RECORD = Record(
    name="builtin-text",
    title="ModernBERT, 4 blocks of width 192, 6,000 parts of words, a masked language model of English definitions",
    idea="Works offline on a laptop: 2.4 million weights, trained on WordNet's and Debian's descriptions of things.",
    year=2026,
    pretrained_on=("debian", "wordnet", "wordnet-mini"),
    extra="text",
)

FOLDER = Path(__file__).parent / "builtin_text_model"


def load() -> TextBackbone:
    """The packaged model."""
    return load_text(f"{PREFIX}{FOLDER}")
