"""A fit: from images to a trained model, its metrics and its adapter."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import torch

from selfprompt.data.batches import Batches, Decoded
from selfprompt.data.datasets import shared_file
from selfprompt.data.examples import Examples, check_labels, class_counts
from selfprompt.data.pairs import as_examples
from selfprompt.errors import UserError
from selfprompt.files import claimed, damaged, must_be_utf8
from selfprompt.memory import peak_memory
from selfprompt.methods.recipe import Recipe
from selfprompt.methods.stages import Again, Stage
from selfprompt.model import PromptedModel
from selfprompt.tuning.balance import balanced, tell
from selfprompt.tuning.checkpoint import FIX, Progress, Settings, data_of, settings_of
from selfprompt.tuning.checkpoint import NAME as CHECKPOINT
from selfprompt.tuning.engine import Engine
from selfprompt.tuning.evaluation import validated
from selfprompt.tuning.loop import Ends, Loop, OnStep
from selfprompt.tuning.optimization import images_that_fit, make_optimizer, trained_besides_head
from selfprompt.tuning.passes import condense, frozen_states, is_condensed, rewind, start_prompts
from selfprompt.tuning.records import Kept, Metrics, write_logs, write_metrics
from selfprompt.tuning.result import Result as Result

logger = logging.getLogger("selfprompt")


KEPT = ("dataset", "seed", "protocol", "val_accuracy", "test_accuracy", "precision")
"""What of the metrics an adapter holds."""


def fit(
    model: PromptedModel,
    train: Decoded | Examples | Iterable[tuple[object, int]],
    val: Decoded | Examples | Iterable[tuple[object, int]] | None,
    *,
    recipe: Recipe | None = None,
    output_dir: str | Path | None = None,
    seed: int = 0,
    dataset: str = "custom",
    resume: bool = False,
    trackers: str | Sequence[str] = (),
    engine: Engine | None = None,
    on_step: OnStep | None = None,
    checkpoint_seconds: float = 60.0,
    ends: Ends | None = None,
) -> Result:
    """Train what the model's method trains, and leave the model at the epoch that validation selects.

    Prompts are started from ``train`` if `PromptedModel.initialize` was not called before.

    Args:
        model: From `selfprompt.create_model`.
        train, val: What `as_examples` takes: `Examples`, or pairs of an image (a path, a PIL image, an array or a
            tensor) and a class index, such as a torchvision data set; or batches that are decoded already. Without
            ``val`` the last epoch is kept.
        recipe: The optimisation; the method's published recipe by default.
        output_dir: Where logs, checkpoint and adapter go; None writes nothing.
        seed: Seed of prompts, order, augmentation and dropout.
        dataset: A name for the data, for the record.
        resume: Resume from the checkpoint in ``output_dir`` where there is one; it must be of this very run.
        trackers: A name, or names, of accelerate's trackers to log to, beside log.jsonl and log.csv.
        engine: One that has its trackers already and outlives the fit; by default one is made, and closed at the end.
        on_step: Called after every step.
        checkpoint_seconds: Least time between two checkpoints within an epoch; epochs end with one.
        ends: Asked after every step whether its stage ends there (see `Ends`).

    Raises:
        UserError: A label is not of the model's classes, an image cannot be read, a tracker cannot be used, the loss
            became NaN or infinite, memory is out at one image, the checkpoint is damaged or of another run, or
            another process is at work in ``output_dir``.
    """
    begun = time.monotonic()
    model.calibration = model.thresholds = None  # which are of other weights
    given, held = train, val
    train = labelled(train, "training", model)
    val = None if val is None else labelled(val, "validation", model)
    if val and val.multi_label != train.multi_label:
        raise UserError("Training and validation images must both have one label each, or both several.")
    if val and (shared := shared_file(train, val)):
        logger.warning("Training and validation share images, such as %s: the validation accuracy says less.", shared)
    recipe = recipe or default_recipe(model)
    recipe.check(model.protocol.inputs, several=train.multi_label)
    folder = None if output_dir is None else Path(output_dir)
    for name in (dataset, *(model.class_names or ())):
        must_be_utf8("The class or data set", name)
    own = engine is None
    engine = engine or Engine(recipe.precision, trackers, folder)
    model.protocol = model.protocol.completed(train)
    train_batches = given if isinstance(given, Decoded) else Decoded(train, model.protocol, train=True, seed=seed)
    val_batches = held if isinstance(held, Decoded) else None if val is None else Decoded(val, model.protocol)

    engine.start_trackers(
        {
            "method": model.method.describe(),
            "backbone": model.backbone.info.name,
            "dataset": dataset,
            "seed": seed,
            "recipe": recipe.model_dump(mode="json"),
            "protocol": {**model.protocol.model_dump(mode="json"), "hash": model.protocol.hash},
        }
    )
    engine.place(model)
    with claimed(folder) if folder and engine.is_main else nullcontext():
        run = settings_of(model.method.describe(), recipe, model.protocol, seed) | data_of(model, train, val)
        progress = Progress.load(folder, run, model) if resume and folder else None
        begun -= progress.seconds if progress else 0.0
        if not progress and not model.initialized:
            with engine.computing(model), engine.autocast():
                start_prompts(model, train_batches, seed)
        stages = model.method.stages(recipe) if progress or not is_condensed(model) else (Stage(recipe),)
        if model.multi_label and not stages:
            raise UserError(f"{model.method.name} is not trained, and says which one class is likeliest: train coop.")
        stages = [balanced(stage, train_batches.labels, model.num_classes) for stage in stages]
        if engine.is_main:
            counts = class_counts(train.known_labels, model.num_classes)
            tell(counts, model.class_names, model.protocol.inputs, stages, train.multi_label)
        training = Training(model, engine, folder, seed, run, on_step, checkpoint_seconds, begun, ends)
        progress = training.go_through(stages, train_batches, val_batches, progress)
        metrics = measured(training, progress, stages, recipe, dataset, time.monotonic() - begun)
        model.metrics = {k: metrics[k] for k in KEPT} | ({} if val is None else {"val_images": len(val)})
        if folder and engine.is_main:
            model.save_pretrained(folder)
            write_metrics(folder, metrics)
        engine.wait()
    if own:
        engine.close()
    return Result(metrics, progress.history, folder)


class Training:
    """The stages of a fit, one after the other.

    Args:
        model, engine, folder, seed, on_step, checkpoint_seconds, ends: Of `fit`.
        begun: When it would have begun, had it not been stopped.
        run: Whose the checkpoints are (see `Progress`).
    """

    def __init__(
        self,
        model: PromptedModel,
        engine: Engine,
        folder: Path | None,
        seed: int,
        run: Settings,
        on_step: OnStep | None,
        checkpoint_seconds: float,
        begun: float,
        ends: Ends | None,
    ) -> None:
        self.model, self.engine, self.folder, self.seed, self.run = model, engine, folder, seed, run
        self.on_step, self.checkpoint_seconds, self.begun, self.ends = on_step, checkpoint_seconds, begun, ends
        self.seconds = self.waiting = self.compiling = 0.0

    def go_through(
        self, stages: Sequence[Stage], train: Batches, val: Batches | None, progress: Progress | None
    ) -> Progress:
        """Train through the stages, from wherever ``progress`` stands, and leave the model at the last one's best."""
        for number, stage in enumerate(stages):
            if progress and progress.stage > number:
                continue
            if not (progress and progress.stage == number):
                if number and progress:
                    self.pass_on(stages[number - 1], train, progress)
                progress = self.begin(stage, number, progress, train)
                optimizer = self.optimizer(stage, progress)
            else:
                optimizer = self.resumed(stage, progress)
            share = sum(s.epochs for s in stages[: number + 1]) / sum(s.epochs for s in stages)
            whole = isinstance(stage.then, Again)  # the next stage takes its directions from all of its epochs
            ends = None if self.ends is None or whole else partial(self.ends, share)
            rest = (self.folder, self.seed, self.on_step, self.checkpoint_seconds, self.begun, ends)
            loop = Loop(self.model, optimizer, stage, self.engine, progress, *rest)
            loop.run(train, val)
            self.waiting += loop.waiting
            self.seconds += loop.seconds
            self.compiling += loop.compiling
            self.model.load_adapter_state(progress.best)
        self.model.eval()
        return progress or self.untrained(val)

    def untrained(self, val: Batches | None) -> Progress:
        """The progress of a method without stages: the model as it was built."""
        progress = Progress(self.model.adapter_state(), {}, 1, run=self.run)
        if val is not None:
            with self.engine.computing(self.model):
                found = validated(
                    self.model, val, self.engine, 64, self.model.num_classes, self.model.protocol.metric
                )
            progress.best_loss, progress.best_accuracy = found["val_loss"], found["val_accuracy"]
            progress.best_score = found.get(f"val_{self.model.protocol.metric}")
        if self.folder is not None and self.engine.is_main:
            write_logs(self.folder, [])
        return progress

    def begin(self, stage: Stage, number: int, before: Progress | None, train: Batches) -> Progress:
        """The progress of a stage that begins, after that of the stage before."""
        model, engine = self.model, self.engine
        history, path = (before.history, before.path) if before else ([], [])
        micro = images_that_fit(model, math.ceil(stage.recipe.batch_size / engine.world), engine.device, engine.dtype)
        progress = Progress(
            model.adapter_state(), {}, micro, model.sources, stage=number, history=history, run=self.run
        )
        if isinstance(stage.then, Again):
            progress.start = {k: v.clone() for k, v in progress.adapter.items()}
        progress.held = stage.rule.begin(trained_besides_head(model), path, self.seed)
        states = partial(self.states, train, micro)
        progress.held |= stage.rule.sort(states, train.labels, stage.recipe.batch_size, self.seed)
        return progress

    def states(self, train: Batches, batch_size: int) -> torch.Tensor:
        """See `frozen_states`."""
        with self.engine.computing(self.model), self.engine.autocast():
            return frozen_states(self.model, train, batch_size)

    def optimizer(self, stage: Stage, progress: Progress) -> torch.optim.Optimizer:
        """A new optimizer of what is trained, and of what the stage's rule holds."""
        optimizer = make_optimizer(self.model, stage.recipe)
        progress.held = {k: v.to(self.engine.device) for k, v in progress.held.items()}
        if moved := stage.rule.moved(progress.held):
            optimizer.add_param_group({"params": moved, "weight_decay": 0.0})
        return optimizer

    def resumed(self, stage: Stage, progress: Progress) -> torch.optim.Optimizer:
        """The optimiser, resumed from a checkpoint."""
        optimizer = self.optimizer(stage, progress)
        try:
            optimizer.load_state_dict(progress.optimizer)
        except (ValueError, KeyError, TypeError):
            assert self.folder is not None
            raise damaged(self.folder / CHECKPOINT, "its optimizer is of other weights", FIX) from None
        return optimizer

    def pass_on(self, stage: Stage, train: Batches, progress: Progress) -> None:
        """What is done to the prompts between a stage and the next."""
        if stage.then is None:
            return
        if isinstance(stage.then, Again):
            self.model.load_adapter_state(progress.start)
            return
        with self.engine.computing(self.model), self.engine.autocast():
            condense(self.model, stage.then, stage.loss, train, progress.micro_batch)
        if stage.then.rewinds:
            with self.engine.autocast():
                rewind(self.model, train, self.seed)


def measured(
    training: Training, progress: Progress, stages: Sequence[Stage], recipe: Recipe, dataset: str, seconds: float
) -> Metrics:
    """What was run and what it measured: the contents of metrics.json."""
    model, engine = training.model, training.engine
    (trainable, total), metric = model.count_parameters(), model.protocol.metric
    found: Metrics = {
        "method": model.method.name,
        "backbone": model.backbone.info.name,
        "dataset": dataset,
        "protocol": model.protocol.hash,
        "seed": training.seed,
        "num_prompts": model.insertion.num_prompts,
        "trainable_parameters": trainable,
        "total_parameters": total,
        "precision": engine.precision,
        "processes": engine.world,
        "recipe": Kept(**recipe.model_dump(mode="json")),
        "method_fields": model.method.describe(),
        "best_epoch": progress.best_epoch + 1,
        "val_accuracy": progress.best_accuracy,
        "test_accuracy": None,
        "waiting_share": training.waiting / training.seconds if training.seconds else 0.0,
        "compile_seconds": training.compiling,
        "peak_memory_bytes": peak_memory(engine.device),
        "epochs": sum(stage.epochs for stage in stages),
        "seconds": seconds,
    }
    if metric != "top1":
        found["metric"], found["val_score"] = metric, progress.best_score
    return found


def labelled(pairs: Decoded | Examples | Iterable[object], what: str, model: PromptedModel) -> Examples:
    """Examples of a split, whose labels are the model's classes."""
    examples = pairs.examples if isinstance(pairs, Decoded) else as_examples(pairs, model.protocol.view().accept)
    if not len(examples):
        raise UserError(f"There are no {what} images: give one or more (a generator gives its images only once).")
    check_labels(examples, model.num_classes, what)
    return examples


def default_recipe(model: PromptedModel) -> Recipe:
    """The published recipe of the model's method for its backbone's kind of pretraining."""
    return model.method.recipe(model.backbone.info.pretraining)
