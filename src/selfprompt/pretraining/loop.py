"""The loop of a pretraining run: steps, each seeded by its number, and a checkpoint beside what it will write."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn
from typing_extensions import TypedDict

from selfprompt.files import only_one, unwritable
from selfprompt.pretraining.config import Settings
from selfprompt.tuning.checkpoint import same_run, save_state, saved_state
from selfprompt.tuning.engine import Engine
from selfprompt.tuning.optimization import cosine, diverged

WARMUP = 0.05  # of the steps

OnStep = Callable[[int, int, float], None]
"""Called with (step, steps, loss) after every step."""
Batches = Callable[[int, torch.Generator], tuple[Any, ...]]
"""A step's number and its random numbers to what the network is given."""


class Trained(TypedDict):
    """What a loop ended with; the loss is a mean over the last hundredth of the steps."""

    loss: float
    steps: int
    seconds: float


@contextmanager
def alone(out: Path) -> Iterator[Engine]:
    """Inside, nobody else writes ``out``, and torch's random numbers, which steps seed, are not the caller's.

    Raises:
        UserError: The folder of ``out`` cannot be written, or another run writes it.
    """
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(out, error) from None
    with only_one(out.with_name(f".{out.name}.lock"), out):
        engine = Engine("float32")
        here = [engine.device] if engine.device.type == "cuda" else []
        with torch.random.fork_rng(devices=here):
            yield engine


def run(
    model: nn.Module,
    groups: Sequence[dict[str, Any]],
    open_batches: Callable[[], Batches],
    partial: Path,
    config: Settings,
    engine: Engine,
    on_step: OnStep | None,
    checkpoint_seconds: float,
    max_norm: float = math.inf,
) -> Trained:
    """Train a network whose output is its loss; a checkpoint ``partial`` is kept on the way, and resumed from.

    Args:
        model: The network.
        groups: What it trains (see `parameter_groups`).
        open_batches: Makes what gives each step's batch, once the checkpoint was read.
        partial: The checkpoint's file.
        config: Recipe.
        engine: Devices.
        on_step: Called after every step.
        checkpoint_seconds: Least time between two checkpoints.
        max_norm: Of the gradient; longer ones are shortened.

    Raises:
        UserError: The checkpoint is damaged or of other settings, or the loss became NaN or infinite.
    """
    network = engine.prepare(model)
    optimizer = torch.optim.AdamW(groups, lr=config.lr, betas=config.betas)
    peaks = [group["peak"] for group in groups]
    settings = config.model_dump_json()
    done, losses, seconds = 0, [], 0.0
    if partial.exists():
        with saved_state(partial) as state:
            same_run(partial, json.loads(state["config"]), json.loads(settings))
            model.load_state_dict(state["model"])
            optimizer.load_state_dict(state["optimizer"])
            done, losses, seconds = state["step"], state["losses"], state["seconds"]
    batches = open_batches()

    steps = config.steps
    begun = saved = time.monotonic()
    for step in range(done, steps):
        generator = torch.Generator().manual_seed(config.seed * 1_000_003 + step)
        torch.manual_seed(config.seed * 1_000_003 + step)
        batch = batches(step, generator)
        for group, peak in zip(optimizer.param_groups, peaks):
            group["lr"] = learning_rate(peak, step, steps)
        loss = network(*batch)
        optimizer.zero_grad(set_to_none=True)
        engine.backward(loss)
        if max_norm < math.inf:
            nn.utils.clip_grad_norm_(model.parameters(), max_norm)
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
    return {"loss": sum(tail) / len(tail), "steps": steps, "seconds": seconds + time.monotonic() - begun}


def learning_rate(peak: float, step: int, steps: int) -> float:
    """The lesser of a linear warm-up over 5 % of the steps, and half a cosine from the peak to 0 over all of them."""
    return min(peak * ((step + 1) / max(1, WARMUP * steps)), cosine(peak, 0.0, step / steps))
