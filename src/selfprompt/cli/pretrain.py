"""``selfprompt pretrain DATA --out FILE``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from pydantic import ValidationError

from selfprompt.cli.console import progress, report
from selfprompt.errors import out_of_range
from selfprompt.pretraining.mae import PretrainConfig, pretrain


def command(
    data: str,
    *,
    out: Path,
    config: Annotated[PretrainConfig | None, Parameter(name="*")] = None,
    seed: int = 0,
    json: bool = False,
) -> None:
    """Train a small ViT by masked autoencoding (MAE) on any images; no labels are read.

    Args:
        data: A folder (its direct subfolders are sampled equally often), a registered name, or hf:NAME.
        out: The weights' file to write (safetensors); FILE.partial is taken up again if it is there.
        seed: Seed of weights, masks, crops and order.
        json: Print one JSON object.
    """
    try:
        config = PretrainConfig.model_validate((config or PretrainConfig()).model_dump() | {"seed": seed})
    except ValidationError as error:
        raise out_of_range(error) from None
    with progress("pretraining") as advance:
        summary = pretrain(data, out, config, lambda step, steps, loss: advance(step, steps, f"loss {loss:.3f}"))
    report(
        {"out": str(out), **summary},
        json,
        f"{out}: {config.depth} blocks, {config.width} wide; loss {summary['loss']:.3f} "
        f"after {summary['steps'] * config.batch_size:,} images in {summary['seconds'] / 60:.0f} min",
    )
