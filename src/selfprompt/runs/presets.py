"""Settings that the package brings."""

from __future__ import annotations

from typing import Any

EMBEDDED: dict[str, Any] = {
    "data": "mnist5k",
    "backbone": "builtin",
    "protocol": {"name": "embedded", "train_images": 1000},
    "fields": {"head_norm": "batch", "prompt_rms": 0.1, "readout": "backbone"},
    "recipe": {"epochs": 12, "batch_size": 32, "optimizer": "adamw", "weight_decay": 0.01, "head_weight_decay": 0.01},
}
"""What `selfprompt tune` runs without an argument, in about two minutes on two cores.

800 + 200 labelled images as in VTAB-1K. Against the published recipe: 12 epochs in the place of 100, a BatchNorm
without parameters before the head, prompts rescaled to a root mean square of 0.1, the backbone's own readout, and
each method's own rate for these settings (`Method.rates`), which a search on validation images chose.
"""
