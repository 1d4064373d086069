"""A run's state on disk, small as the backbone is frozen; a kill leaves the last one whole."""

from __future__ import annotations

import io
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from selfprompt.errors import UserError
from selfprompt.files import replace_file

NAME = "checkpoint.pt"
KINDS: dict[str, Any] = {
    **dict.fromkeys(("adapter", "optimizer", "best"), dict),
    **dict.fromkeys(("micro_batch", "stage", "epoch", "step", "best_epoch"), int),
    **dict.fromkeys(("loss_sum", "best_loss"), float),
    "history": list,
    "sources": (Tensor, type(None)),
    "average": (dict, type(None)),
}


@dataclass
class Progress:
    """Where a run stands. Random numbers need no keeping: every draw follows from (seed, epoch, step).

    Args:
        adapter: Trained weights and the head's buffers.
        optimizer: The optimiser's state.
        sources: Where each prompt came from (see `selfprompt.prompts.initialization.base.Prompts`).
        average: The moving average of the adapter, where one is kept.
        stage: 0, or 1 after condensation.
        epoch, step: The stage's next epoch, and the next step within it.
        loss_sum: Sum of the losses of the epoch's steps so far.
        micro_batch: Images of one backward pass of this process.
        best: The stage's selected adapter; ``best_epoch`` is its row in the history, -1 before the first epoch's end.
        history: One row for each finished epoch of all stages.
    """

    adapter: dict[str, Tensor]
    optimizer: dict[str, Any]
    micro_batch: int
    sources: Tensor | None = None
    average: dict[str, Tensor] | None = None
    stage: int = 0
    epoch: int = 0
    step: int = 0
    loss_sum: float = 0.0
    best: dict[str, Tensor] = field(default_factory=dict)
    best_epoch: int = -1
    best_accuracy: float | None = None
    best_loss: float = float("inf")
    history: list[dict[str, float]] = field(default_factory=list)
    finished: bool = False

    def save(self, folder: Path) -> None:
        """Replace the folder's checkpoint."""
        buffer = io.BytesIO()
        torch.save({f.name: getattr(self, f.name) for f in fields(self)}, buffer)
        replace_file(folder / NAME, buffer.getvalue())

    @classmethod
    def load(cls, folder: Path) -> Progress | None:
        """The folder's checkpoint, or None.

        Raises:
            UserError: The file is damaged, or holds objects that would run code.
        """
        path = folder / NAME
        if not path.is_file():
            return None
        try:
            progress = cls(**torch.load(path, map_location="cpu", weights_only=True))
            for name, kind in KINDS.items():
                if not isinstance(getattr(progress, name), kind):
                    raise TypeError(name)
            return progress
        except Exception as error:  # the reader raises whatever damaged bytes lead it to
            raise UserError(f"{path} is damaged ({type(error).__name__}): remove it to start again.") from None
