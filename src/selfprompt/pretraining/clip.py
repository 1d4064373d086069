"""Contrastive training of a small pair of towers, of images and of texts.

Radford et al., "Learning Transferable Visual Models From Natural Language Supervision" (arXiv 2103.00020): an image
and its caption are to be nearer than an image and another's caption, both ways. Patches are left out at random, as in
Li et al., "Scaling Language-Image Pre-training via Masking" (arXiv 2212.00794), but in the last 7 % of the steps.

Differences from the paper, for few images and two CPU cores: each image comes with several captions; every caption
that is true of an image is a target for it, with equal weight, as captions of little pictures are often true of
others; the vocabulary is made from the captions; the image tower may start from a masked autoencoder's encoder.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save

from selfprompt import registry
from selfprompt.backbones.open_clip import CONFIG, MERGES, WEIGHTS
from selfprompt.errors import UserError
from selfprompt.pretraining.config import ClipConfig
from selfprompt.pretraining.folder import halves, write_folder
from selfprompt.pretraining.loop import OnStep, alone, run
from selfprompt.pretraining.pairs import MARGIN, draw, load_pairs
from selfprompt.pretraining.towers import Pair, start_from
from selfprompt.pretraining.vocabulary import Tokens, vocabulary
from selfprompt.tuning.optimization import parameter_groups

WHOLE = 0.93  # of the steps, after which no patch is left out


def pretrain_clip(
    data: str | Path,
    out: Path,
    config: ClipConfig,
    on_step: OnStep | None = None,
    checkpoint_seconds: float = 60.0,
) -> dict[str, Any]:
    """Train a pair of towers on the images and captions of ``data``, and write it as a folder in open_clip's format.

    A checkpoint ``OUT.partial`` is kept on the way; the same call resumes from it. ``open_clip:OUT`` loads the pair.

    Args:
        data: A folder with a table of images and captions (see `selfprompt.pretraining.pairs.load_pairs`).
        out: The folder to write.
        config: Architecture and recipe.
        on_step: Called with (step, steps, loss) after every step.
        checkpoint_seconds: Least time between two checkpoints.

    Returns:
        The final loss (mean over the last hundredth of the steps), images and captions in the corpus, steps, seconds.

    Raises:
        UserError: open_clip or tokenizers is not installed; there are no pairs, or an image is missing; ``out`` is
            taken or cannot be written; the start does not fit; the checkpoint is damaged or of other settings; or the
            loss became NaN or infinite.
    """
    for needed in ("open_clip", "tokenizers"):
        if not registry.installed(needed):
            raise UserError(f"--kind clip needs {needed}: pip install 'selfprompt[clip]'.")
    if out.exists():
        raise UserError(f"{out} is there already: choose another --out.")
    with alone(out) as engine:
        pairs = load_pairs(data, round(MARGIN * config.image_size))
        words = vocabulary([one.text for listed in pairs.captions for one in listed], config.merges)
        torch.manual_seed(config.seed)
        with tempfile.TemporaryDirectory() as folder:
            tokens = Tokens(words, folder, config.context)
        pair = Pair(config, tokens.size)
        if config.start:
            start_from(pair.model.visual, config.start)
        partial = out.with_name(out.name + ".partial")

        def batch(step: int, generator: torch.Generator) -> tuple[Any, ...]:
            pair.model.visual.patch_dropout.prob = config.patch_dropout if step < WHOLE * config.steps else 0.0
            drawn = draw(pairs, config.batch_size, config.captions, config.image_size, generator)
            texts = [tokens(text) for text in drawn.texts]
            return drawn.images.to(engine.device), texts, drawn.true.to(engine.device)

        made = run(
            pair,
            groups(pair, config),
            lambda: batch,
            partial,
            config,
            engine,
            on_step,
            checkpoint_seconds,
            max_norm=1.0,
        )
        summary = made | {"corpus_images": len(pairs.images), "corpus_captions": sum(map(len, pairs.captions))}
        write(out, pair, words, summary)
        partial.unlink(missing_ok=True)
        return summary


def groups(pair: Pair, config: ClipConfig) -> list[dict[str, Any]]:
    """What is trained: the image tower, the scale and the rest have peak rates of their own."""

    def of(name: str) -> tuple[float, float]:
        if name == "model.logit_scale":
            return config.scale_lr, config.weight_decay
        image = config.image_lr if name.startswith("model.visual.") else None
        return image or config.lr, config.weight_decay

    return parameter_groups(pair, of)


def write(out: Path, pair: Pair, words: bytes, summary: dict[str, Any]) -> None:
    """The folder, whole or not at all.

    Raises:
        UserError: A weight is NaN or infinite, or the folder cannot be written.
    """
    config = pair.config
    weights = halves(pair.model.cpu().state_dict(), config.lr)
    preprocess = {"mean": config.mean, "std": config.std, "interpolation": "bicubic", "resize_mode": "shortest"}
    described = {"model_cfg": pair.towers, "preprocess_cfg": preprocess}
    header = {"pretraining": "clip", "recipe": config.model_dump(mode="json"), **summary}
    files = {
        CONFIG: json.dumps(described, indent=1),
        WEIGHTS: save(weights, metadata={"selfprompt": json.dumps(header)}),
        MERGES: words,
    }
    write_folder(out, files)
