"""A run's state on disk, small as the backbone is frozen; a kill leaves the last one whole."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import ConfigDict, Field, TypeAdapter
from torch import Tensor

from selfprompt.adapters.format import upgraded
from selfprompt.data.examples import Examples
from selfprompt.data.protocol import BaseProtocol
from selfprompt.errors import UserError
from selfprompt.files import damaged, replace_file, using
from selfprompt.methods.recipe import Recipe
from selfprompt.model import PromptedModel

NAME, FIX = "checkpoint.pt", "remove it to start again"
Settings = dict[str, object]
"""What tells a run from another, by name."""
LATER = ("run", "start", "path", "held", "best_score", "seconds")  # what the first checkpoints lack
Count = Annotated[int, Field(ge=0)]


def settings_of(method: dict[str, Any], recipe: Recipe, protocol: BaseProtocol, seed: int) -> Settings:
    """What tells a run from another, in one level; what changes no number (compile, checkpointing) is left out, and
    so is where prompts started from, which may have moved: a checkpoint has them as they are."""
    fields = {name: value for name, value in method.items() if name not in ("name", "start")}
    fields |= recipe.model_dump(mode="json", exclude={"compile", "checkpointing"})
    return {"method": method["name"], "seed": seed, **fields, "protocol": protocol.hash}


def data_of(model: PromptedModel, train: Examples, val: Examples | None) -> Settings:
    """What tells a run's images and backbone from another's: counts, and fingerprints of labels and weights."""
    labels = hashlib.sha256("\n".join(model.class_names or ()).encode())
    for split in (train, val) if val else (train,):
        labels.update(split.known_labels.tobytes())
    counts = {"training images": len(train), "validation images": len(val or ())}
    return {**counts, "labels": labels.hexdigest()[:12], "backbone": model.backbone_hash[:12]}


def same_run(folder: Path, there: Settings, own: Settings) -> None:
    """Refuse to resume another run; settings that one of both did not record are not compared.

    Raises:
        UserError: A setting differs.
    """
    for name, value in own.items():
        if name in there and there[name] != value:
            raise UserError(
                f"The run in {folder} was trained with {name.replace('_', ' ')} {there[name]}, not {value}: "
                f"choose another output_dir (--out)."
            )


def save_state(path: Path, state: dict[str, Any]) -> None:
    """Replace a checkpoint, whole or not at all."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    replace_file(path, buffer.getvalue())


@contextmanager
def saved_state(path: Path) -> Iterator[dict[str, Any]]:
    """Inside, what `save_state` wrote is put to use; an error there is the file's.

    Raises:
        UserError: The file is damaged, or holds objects that would run code.
    """
    try:
        yield torch.load(path, map_location="cpu", weights_only=True)
    except UserError:
        raise
    except Exception as error:  # damaged bytes lead to errors of any kind
        raise damaged(path, type(error).__name__, FIX) from None


@dataclass
class Progress:
    """Where a run stands. Random numbers need no keeping: every draw follows from (seed, epoch, step).

    Args:
        adapter: Trained weights and the head's buffers.
        optimizer: The optimiser's state.
        sources: Where each prompt came from (see `selfprompt.prompts.initialization.base.Prompts`).
        average: The moving average of the adapter, where one is kept.
        start: The adapter as the stage found it, and ``path``, what is trained besides the head as one vector after
            each of its epochs; empty unless the next stage asks (see `Again`).
        held: What the stage's rule holds.
        stage: The number of the stage, from 0.
        epoch, step: The stage's next epoch, and the next step within it.
        loss_sum: Sum of the losses of the epoch's steps so far.
        micro_batch: Images of one backward pass of this process.
        best: The stage's selected adapter; ``best_epoch`` is its row in the history, -1 before the first epoch's end,
            and ``best_score`` its value of the protocol's metric where that is not the accuracy.
        history: One row for each finished epoch of all stages.
        seconds: What the run took up to here, as often as it was resumed.
        run: Whose it is (see `settings_of` and `data_of`); empty in checkpoints of before it was kept.
    """

    __pydantic_config__ = ConfigDict(arbitrary_types_allowed=True, extra="forbid")

    adapter: dict[str, Tensor]
    optimizer: dict[str, Any]
    micro_batch: Annotated[int, Field(ge=1)]
    sources: Tensor | None = None
    average: dict[str, Tensor] | None = None
    start: dict[str, Tensor] = field(default_factory=dict)
    path: list[Tensor] = field(default_factory=list)
    held: dict[str, Tensor] = field(default_factory=dict)
    stage: Count = 0
    epoch: Count = 0
    step: Count = 0
    loss_sum: float = 0.0
    best: dict[str, Tensor] = field(default_factory=dict)
    best_epoch: Annotated[int, Field(ge=-1)] = -1
    best_accuracy: float | None = None
    best_loss: float = float("inf")
    best_score: float | None = None
    history: list[dict[str, int | float]] = field(default_factory=list)
    finished: bool = False
    seconds: float = 0.0
    run: Settings = field(default_factory=dict)

    def save(self, folder: Path) -> None:
        """Replace the folder's checkpoint."""
        save_state(folder / NAME, {f.name: getattr(self, f.name) for f in fields(self)})

    @classmethod
    def load(cls, folder: Path, run: Settings, model: PromptedModel) -> Progress | None:
        """The folder's checkpoint, its weights taken into the model; None where there is none.

        Raises:
            UserError: The file is damaged, holds objects that would run code, or is of another run than ``run``.
        """
        path = folder / NAME
        if not path.exists():
            return None
        with saved_state(path) as saved:
            if lacking := {f.name for f in fields(cls)} - {*LATER, *saved}:
                raise KeyError(lacking)
            progress = KIND.validate_python(saved)
            progress.adapter, progress.best = upgraded(progress.adapter), upgraded(progress.best)
            progress.average = None if progress.average is None else upgraded(progress.average)
        same_run(folder, progress.run, run)
        with using(path, FIX):
            for state in (progress.best, progress.average, progress.adapter):
                model.load_adapter_state(state or progress.adapter)
            model.set_sources(progress.sources)
        progress.run = run
        return progress


KIND = TypeAdapter(Progress)
