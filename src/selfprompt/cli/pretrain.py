"""``selfprompt pretrain DATA --out FILE``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from selfprompt.cli.console import emit, progress
from selfprompt.cli.values import Seed
from selfprompt.pretraining.config import PretrainConfig


def command(
    data: str,
    *,
    out: Path,
    config: Annotated[PretrainConfig | None, Parameter(name="*")] = None,
    seed: Seed = 0,
    json: bool = False,
) -> None:
    """Train a small ViT by masked autoencoding (MAE) on any images; no labels are read.

    Args:
        data: A folder (its direct subfolders are sampled equally often), a registered name, or hf:NAME.
        out: The weights' file to write (safetensors); an interrupted run resumes from FILE.partial.
        seed: Seed of weights, masks, crops and order.
        json: Print one JSON object.
    """
    from selfprompt.pretraining.mae import pretrain

    config = (config or PretrainConfig()).model_copy(update={"seed": seed})
    with progress("pretraining") as advance:
        summary = pretrain(data, out, config, lambda step, steps, loss: advance(step, steps, f"loss {loss:.3f}"))
    emit(
        {"out": str(out), **summary},
        json,
        f"{out}: {config.depth} blocks, {config.width} wide; loss {summary['loss']:.3f} "
        f"after {summary['steps'] * config.batch_size:,} images in {summary['seconds'] / 60:.0f} min",
    )
