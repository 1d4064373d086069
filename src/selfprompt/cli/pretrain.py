"""``selfprompt pretrain DATA --out FILE``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel

from selfprompt.cli.console import emit, progress
from selfprompt.cli.flags import flags, given
from selfprompt.cli.values import Seed
from selfprompt.errors import UserError
from selfprompt.pretraining.config import ClipConfig, ImageSettings, PretrainConfig, TextConfig

KINDS = {"mae": PretrainConfig, "clip": ClipConfig, "text": TextConfig}
if TYPE_CHECKING:
    PretrainFlags = BaseModel | None
else:
    PretrainFlags = flags("Pretraining", *KINDS.values(), without=["seed"])


def command(
    data: str,
    *,
    out: Path,
    kind: Literal["mae", "clip", "text"] = "mae",
    config: PretrainFlags = None,
    seed: Seed = 0,
    json: bool = False,
) -> None:
    """Train a small backbone: a ViT by masked autoencoding, a pair of towers (CLIP), or a masked language model.

    Args:
        data: For MAE, images, whose labels are not read: a folder (its direct subfolders are sampled equally often),
            a registered name, or hf:NAME. For CLIP, a folder with captions.csv, whose columns are image and caption.
            For text, a file of texts, one a line, an empty line after each document, or a folder of such (*.txt).
        out: The weights' file to write (safetensors), or the folder, for CLIP in open_clip's format and for text in
            Hugging Face's; an interrupted run resumes from OUT.partial.
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
        elif isinstance(settings, TextConfig):
            from selfprompt.pretraining.text import pretrain_text

            summary = pretrain_text(data, out, settings, on_step)
        else:
            from selfprompt.pretraining.mae import pretrain

            summary = pretrain(data, out, settings, on_step)
    images = isinstance(settings, ImageSettings)
    seen = summary["steps"] * settings.batch_size * (1 if images else settings.window)
    emit(
        {"out": str(out), **summary},
        json,
        f"{out}: {settings.depth} blocks, {settings.width} wide; loss {summary['loss']:.3f} "
        f"after {seen:,} {'images' if images else 'tokens'} in {summary['seconds'] / 60:.0f} min",
    )
