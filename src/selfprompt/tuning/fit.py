"""A fit: from images to a trained model, its metrics and its adapter."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selfprompt import registry
from selfprompt.data.datasets import Examples, as_examples
from selfprompt.data.loading import ImageTensors
from selfprompt.errors import UserError
from selfprompt.methods.base import Method
from selfprompt.model import PromptedModel
from selfprompt.recipe import Recipe
from selfprompt.tuning.checkpoint import Progress
from selfprompt.tuning.engine import Engine
from selfprompt.tuning.loop import Loop, OnStep
from selfprompt.tuning.optimization import images_that_fit, make_optimizer
from selfprompt.tuning.passes import condense, is_condensed, rewind, start_prompts
from selfprompt.tuning.records import peak_memory, write_metrics


@dataclass(frozen=True)
class Result:
    """What a run measured.

    Args:
        metrics: The contents of metrics.json (README, "What a run writes").
        history: A row for each epoch.
        output_dir: Where it was written; None if nowhere.
    """

    metrics: dict[str, Any]
    history: list[dict[str, float]]
    output_dir: Path | None


def fit(
    model: PromptedModel,
    train: Examples | Iterable[tuple[Any, int]],
    val: Examples | Iterable[tuple[Any, int]] | None,
    *,
    recipe: Recipe | None = None,
    output_dir: str | Path | None = None,
    seed: int = 0,
    dataset: str = "custom",
    resume: bool = False,
    trackers: tuple[str, ...] = (),
    on_step: OnStep | None = None,
    checkpoint_seconds: float = 60.0,
) -> Result:
    """Train what the model's method trains, and leave the model at the epoch that validation selects.

    Prompts are started from ``train`` if `PromptedModel.initialize` was not called before.

    Args:
        model: From `selfprompt.create_model`.
        train, val: `Examples`, or pairs of a PIL image (or path, or uint8 array) and a class index, such as a
            torchvision data set. Without ``val`` the last epoch is kept.
        recipe: The optimisation; the method's published recipe by default.
        output_dir: Where logs, checkpoint and adapter go; None writes nothing.
        seed: Seed of prompts, order, augmentation and dropout.
        dataset: A name for the data, for the record.
        resume: Take up the checkpoint in ``output_dir`` where there is one.
        trackers: accelerate's trackers to log to, beside log.jsonl and log.csv.
        on_step: Called after every step.
        checkpoint_seconds: Least time between two checkpoints within an epoch; epochs end with one.

    Raises:
        UserError: The loss became NaN or infinite, memory is out at one image, or an image cannot be read.
    """
    begun = time.monotonic()
    recipe = recipe or default_recipe(model)
    folder = None if output_dir is None else Path(output_dir)
    engine = Engine(recipe.precision, trackers, folder)
    train_images = ImageTensors(as_examples(train), model.protocol, train=True, seed=seed)
    val_images = None if val is None else ImageTensors(as_examples(val), model.protocol)
    if not len(train_images) or (val_images is not None and not len(val_images)):
        raise UserError("Training and validation need one image or more each.")

    engine.place(model)
    progress = Progress.load(folder) if resume and folder else None
    if progress:
        model.load_adapter_state(progress.adapter)
        model.sources = progress.sources
    elif not model.initialized:
        with engine.computing(model), engine.autocast():
            start_prompts(model, train_images, seed)

    method: Method = registry.build("method", model.method)
    condensation = method.condensation() if progress or not is_condensed(model) else None
    lengths = condensation.share(recipe.epochs) if condensation else (recipe.epochs,)
    stages = [recipe.model_copy(update={"epochs": epochs}) for epochs in lengths]
    waiting = trained = compiling = 0.0
    for number, stage in enumerate(stages):
        if progress and progress.stage > number:
            continue
        taken_up = progress is not None and progress.stage == number
        if condensation and progress and number > 0 and not taken_up:
            condense(model, condensation, train_images, progress.micro_batch)
            if condensation.rewinds:
                with engine.autocast():
                    rewind(model, method, train_images, seed)
        optimizer = make_optimizer(model, stage)
        if progress and taken_up:
            optimizer.load_state_dict(progress.optimizer)
        else:
            micro = images_that_fit(model, math.ceil(recipe.batch_size / engine.world), engine.device)
            history = progress.history if progress else []
            progress = Progress(model.adapter_state(), optimizer.state_dict(), micro, model.sources)
            progress.stage, progress.history = number, history
        loop = Loop(model, optimizer, stage, engine, progress, folder, seed, on_step, checkpoint_seconds)
        loop.run(train_images, val_images)
        waiting += loop.waiting
        trained += loop.seconds
        compiling += loop.compiling
        model.load_adapter_state(progress.best)

    assert progress is not None
    model.eval()
    trainable, total = model.count_parameters()
    metrics = {
        "method": model.method["name"],
        "backbone": model.backbone.info.name,
        "dataset": dataset,
        "protocol": model.protocol.hash,
        "seed": seed,
        "num_prompts": model.insertion.num_prompts,
        "trainable_parameters": trainable,
        "total_parameters": total,
        "epochs": sum(lengths),
        "best_epoch": progress.best_epoch + 1,
        "val_accuracy": progress.best_accuracy,
        "test_accuracy": None,
        "seconds": time.monotonic() - begun,
        "waiting_share": waiting / trained if trained else 0.0,
        "compile_seconds": compiling,
        "peak_memory_bytes": peak_memory(engine.device),
        "precision": engine.precision,
        "processes": engine.world,
        "recipe": recipe.model_dump(mode="json"),
        "method_fields": model.method,
    }
    model.metrics = {k: metrics[k] for k in ("dataset", "seed", "val_accuracy", "test_accuracy", "precision")}
    if folder and engine.is_main:
        model.save_pretrained(folder)
        write_metrics(folder, metrics)
    engine.wait()
    engine.close()
    return Result(metrics, progress.history, folder)


def default_recipe(model: PromptedModel) -> Recipe:
    """The published recipe of the model's method for its backbone's kind of pretraining."""
    return registry.build("method", model.method).recipe(model.backbone.info.pretraining)
