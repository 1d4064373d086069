"""Masked autoencoding of a small vision transformer.

He et al., "Masked Autoencoders Are Scalable Vision Learners" (arXiv 2111.06377). The encoder sees a random
quarter of the patches; a narrow decoder fills in mask tokens and predicts the pixels of the others, each patch
normalised by its own mean and deviation; the loss is the mean squared error over the masked patches.

Differences from the paper, for two CPU cores and small pictures: the decoder is one block; the augmentation
adds colour inversion and channel gains, since line art and grey photographs have little colour of their own.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save

from selfprompt.adapters.kept import not_finite
from selfprompt.errors import UserError
from selfprompt.files import replace_file
from selfprompt.pretraining.autoencoder import MaskedAutoencoder
from selfprompt.pretraining.config import PretrainConfig
from selfprompt.pretraining.corpus import draw_batch, load_corpus
from selfprompt.pretraining.loop import Batches, OnStep, Trained, alone, run
from selfprompt.tuning.optimization import diverged, parameter_groups


class Pretrained(Trained):
    """What a pretraining ended with."""

    corpus_images: int


def pretrain(
    data: str | Path,
    out: Path,
    config: PretrainConfig,
    on_step: OnStep | None = None,
    checkpoint_seconds: float = 60.0,
) -> Pretrained:
    """Train a `MaskedAutoencoder` on the images of ``data`` and save its encoder to ``out``.

    A checkpoint ``OUT.partial`` is kept on the way; the same call resumes from it.

    Args:
        data: A folder (its direct subfolders are sampled equally often), a registered name, or ``hf:NAME``.
        out: The weights' file, safetensors in float16, with architecture and recipe in its header.
        config: Architecture and recipe.
        on_step: Called with (step, steps, loss) after every step.
        checkpoint_seconds: Least time between two checkpoints.

    Returns:
        The final loss (mean over the last hundredth of the steps), images in the corpus, steps, seconds.

    Raises:
        UserError: There are no images, ``out`` is taken or cannot be written, the checkpoint is damaged or of other
            settings, or the loss became NaN or infinite.
    """
    if out.is_dir():
        raise UserError(f"{out} is a folder: give --out a file, such as {out / 'backbone.safetensors'}.")
    with alone(out) as engine:
        torch.manual_seed(config.seed)
        model = MaskedAutoencoder(config)
        groups = parameter_groups(model, lambda name: (config.lr, config.weight_decay))
        partial, counts = out.with_name(out.name + ".partial"), {}

        def open_batches() -> Batches:
            images, folders = load_corpus(data, 2 * config.image_size)
            counts["corpus_images"] = len(images)

            def batch(step: int, generator: torch.Generator) -> tuple[Any, ...]:
                drawn = draw_batch(images, folders, config.batch_size, config.image_size, generator)
                return (drawn.to(engine.device),)

            return batch

        summary: Pretrained = {
            **run(model, groups, open_batches, partial, config, engine, on_step, checkpoint_seconds),
            "corpus_images": counts["corpus_images"],
        }
        write_encoder(out, model, summary)
        partial.unlink(missing_ok=True)
        return summary


def write_encoder(out: Path, model: MaskedAutoencoder, summary: Pretrained) -> None:
    """The weights' file: the encoder in float16; architecture, recipe and what was measured in the header.

    Raises:
        UserError: A weight is NaN or infinite, or the file cannot be written.
    """
    config = model.config
    header = {
        "architecture": config.architecture(),
        "pretraining": "mae",
        "mean": config.mean,
        "std": config.std,
        "interpolation": "bicubic",
        "crop_fraction": 1.0,
        "recipe": config.model_dump(mode="json"),
        **summary,
    }
    weights = {k: v.half().contiguous() for k, v in model.encoder.cpu().state_dict().items()}
    if odd := not_finite(weights):
        raise diverged(f"The weight {odd} became NaN or infinite", config.lr)
    replace_file(out, save(weights, metadata={"selfprompt": json.dumps(header)}))
