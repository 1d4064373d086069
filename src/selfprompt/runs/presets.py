"""Settings that the package brings."""

from __future__ import annotations

from typing import Any

PRESETS: dict[str, dict[str, Any]] = {
    "builtin": {
        "data": "mnist5k",
        "rates": "embedded",
        "protocol": {"name": "embedded", "train_images": 1000},
        "fields": {"head_norm": "batch", "prompt_rms": 0.1, "readout": "backbone"},
        "recipe": {
            "epochs": 12,
            "batch_size": 32,
            "optimizer": "adamw",
            "weight_decay": 0.01,
            "head_weight_decay": 0.01,
        },
        "auto": ("fields", "rates", "recipe"),
    },
    "builtin-clip": {
        "data": "mnist5k",
        "rates": "embedded-clip",
        "protocol": {"name": "embedded", "shots": 16},
        "fields": {"template": "a photo of a {}", "ending": ""},
        "anywhere": ("fields", "rates"),
        "recipe": {"epochs": 60, "batch_size": 32, "warmup": 1 / 60},
    },
    "builtin-text": {
        "data": "wordnet-mini",
        "rates": "embedded-text",
        "protocol": {"name": "embedded", "shots": 16},
        "fields": {"num_prompts": 16},
        "recipe": {"epochs": 30, "batch_size": 16},
        "first_recipe": {"epochs": 2},
    },
}
"""What `selfprompt tune` runs without an argument, by the packaged backbone, in minutes of two cores.

``builtin``: 800 + 200 labelled images as in VTAB-1K. Against the published recipe: 12 epochs in the place of 100, a
BatchNorm without parameters before the head, prompts rescaled to a root mean square of 0.1, the backbone's own
readout, and each method's own rate for these settings (`Method.rates`), which a search on validation images chose.
They are those of ``--method auto`` on any data, too.

``builtin-clip``: 16 images of each class to train, 4 to select. Against the published recipe: 60 epochs in the place
of 200, and a rate for this pair's scale, which a search on validation images chose. That rate, and texts without a
full stop, which the pair never saw, are its own on any data.

``builtin-text``: 16 definitions of each class to train, 4 to select. Against the published recipe: 16 prompts, 30
epochs, a batch of 16, and a rate for this model's scale, which a search on validation texts chose. Of methods that
train their prompts on raw text before, two epochs of that.
"""
