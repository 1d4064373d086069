"""``selfprompt pretrain DATA --out FILE``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel

from selfprompt.cli.console import emit, progress
from selfprompt.cli.flags import flags, given
from selfprompt.cli.values import Seed
from selfprompt.errors import UserError
from selfprompt.pretraining.config import ClipConfig, PretrainConfig

KINDS = {"mae": PretrainConfig, "clip": ClipConfig}
if TYPE_CHECKING:
    PretrainFlags = BaseModel | None
else:
    PretrainFlags = flags("Pretraining", *KINDS.values(), without=["seed"])


def command(
    data: str,
    *,
    out: Path,
    kind: Literal["mae", "clip"] = "mae",
    config: PretrainFlags = None,
    seed: Seed = 0,
    json: bool = False,
) -> None:
    """Train a small backbone: a ViT by masked autoencoding (MAE), or a pair of towers on images and captions (CLIP).

    Args:
        data: For MAE, images, whose labels are not read: a folder (its direct subfolders are sampled equally often),
            a registered name, or hf:NAME. For CLIP, a folder with captions.csv, whose columns are image and caption.
        out: The weights' file to write (safetensors), or, for CLIP, the folder (open_clip's format); an interrupted
            run resumes from OUT.partial.
        kind: What to train.
        seed: Seed of weights, masks, crops and order.
        json: Print one JSON object.
    """
    own = given(config)
    if others := sorted(own.keys() - KINDS[kind].model_fields.keys()):
        raise UserError(f"--{others[0].replace('_', '-')} is none of --kind {kind}: leave it out.")
    settings = KINDS[kind](**own, seed=seed)
    with progress("pretraining") as advance:

        def on_step(step: int, steps: int, loss: float) -> None:
            advance(step, steps, f"loss {loss:.3f}")

        if isinstance(settings, ClipConfig):
            from selfprompt.pretraining.clip import pretrain_clip

            summary = pretrain_clip(data, out, settings, on_step)
        else:
            from selfprompt.pretraining.mae import pretrain

            summary = pretrain(data, out, settings, on_step)
    emit(
        {"out": str(out), **summary},
        json,
        f"{out}: {settings.depth} blocks, {settings.width} wide; loss {summary['loss']:.3f} "
        f"after {summary['steps'] * settings.batch_size:,} images in {summary['seconds'] / 60:.0f} min",
    )
