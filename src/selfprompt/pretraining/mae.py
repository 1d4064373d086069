"""Masked autoencoding of a small vision transformer.

He et al., "Masked Autoencoders Are Scalable Vision Learners" (arXiv 2111.06377). The encoder sees a random
quarter of the patches; a narrow decoder fills in mask tokens and predicts the pixels of the others, each patch
normalised by its own mean and deviation; the loss is the mean squared error over the masked patches.

Differences from the paper, for two CPU cores and small pictures: the decoder is one block; the augmentation
adds colour inversion and channel gains, since line art and grey photographs have little colour of their own.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import save
from typing_extensions import TypedDict

from selfprompt.errors import UserError
from selfprompt.files import only_one, replace_file, unwritable
from selfprompt.model import not_finite
from selfprompt.pretraining.autoencoder import MaskedAutoencoder
from selfprompt.pretraining.config import PretrainConfig
from selfprompt.pretraining.corpus import draw_batch, load_corpus
from selfprompt.tuning.checkpoint import same_run, save_state, saved_state
from selfprompt.tuning.engine import Engine
from selfprompt.tuning.optimization import cosine, diverged, parameter_groups

WARMUP = 0.05  # of the steps


class Pretrained(TypedDict):
    """What a pretraining ended with; the loss is a mean over the last hundredth of the steps."""

    loss: float
    corpus_images: int
    steps: int
    seconds: float


def pretrain(
    data: str | Path,
    out: Path,
    config: PretrainConfig,
    on_step: Callable[[int, int, float], None] | None = None,
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
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(out, error) from None
    with only_one(out.with_name(f".{out.name}.lock"), out):
        engine = Engine("float32")
        here = [engine.device] if engine.device.type == "cuda" else []
        with torch.random.fork_rng(devices=here):  # steps seed torch's generators
            return train(data, out, config, engine, on_step, checkpoint_seconds)


def train(
    data: str | Path,
    out: Path,
    config: PretrainConfig,
    engine: Engine,
    on_step: Callable[[int, int, float], None] | None,
    checkpoint_seconds: float,
) -> Pretrained:
    """`pretrain`, alone with its file."""
    torch.manual_seed(config.seed)
    model = MaskedAutoencoder(config)
    network = engine.prepare(model)
    groups = parameter_groups(model, lambda name: (config.lr, config.weight_decay))
    optimizer = torch.optim.AdamW(groups, lr=config.lr, betas=config.betas)
    partial, settings = out.with_name(out.name + ".partial"), config.model_dump_json()
    done, losses, seconds = 0, [], 0.0
    if partial.exists():
        with saved_state(partial) as state:
            same_run(partial, json.loads(state["config"]), json.loads(settings))
            model.load_state_dict(state["model"])
            optimizer.load_state_dict(state["optimizer"])
            done, losses, seconds = state["step"], state["losses"], state["seconds"]
    images, folders = load_corpus(data, 2 * config.image_size)

    steps = max(1, config.images_seen // config.batch_size)
    begun = saved = time.monotonic()
    for step in range(done, steps):
        generator = torch.Generator().manual_seed(config.seed * 1_000_003 + step)
        torch.manual_seed(config.seed * 1_000_003 + step)
        batch = draw_batch(images, folders, config.batch_size, config.image_size, generator).to(engine.device)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(config, step, steps)
        loss = network(batch)
        optimizer.zero_grad(set_to_none=True)
        engine.backward(loss)
        optimizer.step()
        losses.append(loss.item())
        if not math.isfinite(losses[-1]):
            raise diverged(f"The loss became {losses[-1]} at step {step}", config.lr)
        if on_step:
            on_step(step + 1, steps, losses[-1])
        if time.monotonic() - saved > checkpoint_seconds:
            saved = time.monotonic()
            state = {"config": settings, "model": model.state_dict(), "optimizer": optimizer.state_dict()}
            save_state(partial, state | {"step": step + 1, "losses": losses, "seconds": seconds + saved - begun})

    tail = losses[-max(1, steps // 100) :]
    summary: Pretrained = {
        "loss": sum(tail) / len(tail),
        "corpus_images": len(images),
        "steps": steps,
        "seconds": seconds + time.monotonic() - begun,
    }
    write_encoder(out, model, summary)
    partial.unlink(missing_ok=True)
    return summary


def learning_rate(config: PretrainConfig, step: int, steps: int) -> float:
    """The lesser of a linear warm-up over 5 % of the steps, and half a cosine from the peak to 0 over all of them."""
    return min(config.lr * ((step + 1) / max(1, WARMUP * steps)), cosine(config.lr, 0.0, step / steps))


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
