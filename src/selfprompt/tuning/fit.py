"""The fit loop."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from selfprompt import registry
from selfprompt.data.datasets import Examples, as_examples
from selfprompt.data.loading import ImageTensors, in_order, shuffled
from selfprompt.errors import Diverged, UserError
from selfprompt.model import PromptedModel
from selfprompt.prompts.base import PromptInsertion
from selfprompt.prompts.condensation import LAST_STAGE, keep_best, prompt_scores
from selfprompt.recipe import Recipe
from selfprompt.tuning.checkpoint import Progress
from selfprompt.tuning.engine import Engine, out_of_memory
from selfprompt.tuning.evaluation import evaluate_network
from selfprompt.tuning.fixed_features import FeatureTensors, features_are_fixed, frozen_features
from selfprompt.tuning.optimization import MovingAverage, images_that_fit, learning_rate, make_optimizer
from selfprompt.tuning.records import peak_memory, write_logs, write_metrics

OnStep = Callable[[int, int, str], None]
"""Called with (steps done, steps in all, a few words)."""


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
        start_prompts(model, train_images, seed)

    def stage(
        recipe: Recipe, progress: Progress | None, history: list[dict[str, float]], condensed: bool
    ) -> Progress:
        optimizer = make_optimizer(model, recipe)
        if progress:
            optimizer.load_state_dict(progress.optimizer)
        else:
            micro = images_that_fit(model, math.ceil(recipe.batch_size / engine.world), engine.device)
            progress = Progress(model.adapter_state(), optimizer.state_dict(), micro, model.sources)
            progress.history, progress.condensed = history, condensed
        Loop(model, optimizer, recipe, engine, progress, folder, seed, on_step, checkpoint_seconds).run(
            train_images, val_images
        )
        model.load_adapter_state(progress.best)
        return progress

    share = model.method.get("keep", 1.0)
    if not (progress and progress.condensed):
        progress = stage(recipe, progress, [], False)
        if share < 1 and condense(model, train_images, share, progress.micro_batch):
            progress = stage(last_stage(recipe), None, progress.history, True)
    else:
        progress = stage(last_stage(recipe), progress, [], True)

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
        "best_epoch": progress.best_epoch + 1,
        "val_accuracy": progress.best_accuracy,
        "test_accuracy": None,
        "seconds": time.monotonic() - begun,
        "peak_memory_bytes": peak_memory(engine.device),
        "precision": engine.precision,
        "processes": engine.world,
        "recipe": recipe.model_dump(mode="json"),
        "method_fields": model.method,
    }
    model.metrics = {k: metrics[k] for k in ("dataset", "seed", "val_accuracy", "test_accuracy")}
    if folder and engine.is_main:
        model.save_pretrained(folder)
        write_metrics(folder, metrics)
    engine.wait()
    engine.close()
    return Result(metrics, progress.history, folder)


class Loop:
    """Epochs and steps from wherever ``progress`` stands."""

    def __init__(
        self,
        model: PromptedModel,
        optimizer: torch.optim.Optimizer,
        recipe: Recipe,
        engine: Engine,
        progress: Progress,
        folder: Path | None,
        seed: int,
        on_step: OnStep | None,
        checkpoint_seconds: float,
    ) -> None:
        self.model, self.optimizer, self.recipe, self.engine = model, optimizer, recipe, engine
        self.progress, self.folder, self.seed = progress, folder, seed
        self.on_step, self.checkpoint_seconds = on_step, checkpoint_seconds
        self.average: MovingAverage | None = None
        if recipe.ema_decay:
            start = {k: v.to(engine.device) for k, v in (progress.average or model.adapter_state()).items()}
            self.average = MovingAverage(start, recipe.ema_decay)
            progress.average = self.average.state

    def run(self, train: ImageTensors | FeatureTensors, val: ImageTensors | FeatureTensors | None) -> None:
        """Train to the end of the recipe, or until validation has not improved for ``patience`` epochs."""
        model, progress = self.model, self.progress
        self.network: nn.Module = model
        if features_are_fixed(model) and not train.augmented:
            train = frozen_features(model, train, 2 * progress.micro_batch)
            val = None if val is None else frozen_features(model, val, 2 * progress.micro_batch)
            self.network = model.head
        self.network = self.engine.prepare(self.network)
        steps = max(1, len(train) // self.recipe.batch_size)
        self.saved = time.monotonic()
        while progress.epoch < self.recipe.epochs and not progress.finished:
            self._epoch(train, steps)
            self._validate(val)
            progress.epoch, progress.step, progress.loss_sum = progress.epoch + 1, 0, 0.0
            waited = len(progress.history) - 1 - progress.best_epoch
            progress.finished = progress.epoch == self.recipe.epochs or waited >= (self.recipe.patience or math.inf)
            self._checkpoint()

    def _epoch(self, train: ImageTensors | FeatureTensors, steps: int) -> None:
        progress, recipe = self.progress, self.recipe
        order = shuffled(len(train), recipe.batch_size, self.seed, progress.epoch)[progress.step :]
        mine = [batch[self.engine.rank :: self.engine.world] for batch in order]
        for whole, (images, labels) in zip(order, train.batches(mine, progress.epoch)):
            done = progress.epoch * steps + progress.step
            torch.manual_seed(hash((self.seed, done, self.engine.rank)) % 2**63)
            rate = learning_rate(recipe, done, steps * recipe.epochs)
            for group in self.optimizer.param_groups:
                group["lr"] = rate
            loss = self._step(images, labels, len(whole))
            if not math.isfinite(loss):
                raise Diverged(
                    f"The loss became {loss} in epoch {progress.epoch + 1}: use a smaller --lr than {recipe.lr:g}."
                )
            progress.loss_sum += loss
            progress.step += 1
            if self.average:
                self.average.update(self.model.adapter_state())
            if self.on_step:
                self.on_step(done + 1, steps * recipe.epochs, f"epoch {progress.epoch + 1}, loss {loss:.3f}")
            if progress.step < steps and time.monotonic() - self.saved >= self.checkpoint_seconds:
                self._checkpoint()

    def _step(self, images: Tensor, labels: Tensor, whole: int) -> float:
        """One optimiser step over ``whole`` images of all processes, in as many pieces as memory wants."""
        self.network.train()
        while True:
            try:
                total = torch.zeros((), dtype=torch.float64)
                count = max(1, math.ceil(len(labels) / self.progress.micro_batch))
                pieces = list(zip(images.tensor_split(count), labels.tensor_split(count)))
                for piece in pieces[:-1]:
                    with self.engine.no_sync(self.network):
                        total += self._backward(*piece, whole)
                total += self._backward(*pieces[-1], whole)
                break
            except RuntimeError as error:
                if not out_of_memory(error):
                    raise
                if self.progress.micro_batch == 1:
                    raise UserError(
                        "Memory is out at one image a pass: use fewer prompts, smaller images or a smaller backbone."
                    ) from None
                self.progress.micro_batch = max(1, self.progress.micro_batch // 2)
                self.optimizer.zero_grad(set_to_none=True)
                if self.engine.device.type == "cuda":
                    torch.cuda.empty_cache()
        if self.recipe.clip_grad:
            trained = [p for group in self.optimizer.param_groups for p in group["params"]]
            torch.nn.utils.clip_grad_norm_(trained, self.recipe.clip_grad)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return self.engine.sum(total.to(self.engine.device)).item() / whole

    def _backward(self, images: Tensor, labels: Tensor, whole: int) -> Tensor:
        if len(images) == 1 and self.model.method["head_norm"] == "batch":
            raise UserError("A BatchNorm before the head needs two images a pass: use --head-norm none.")
        logits = self.network(images.to(self.engine.device)).float()
        loss = F.cross_entropy(logits, labels.to(self.engine.device), reduction="sum")
        self.engine.backward(loss * (self.engine.world / whole))
        return loss.detach().double().cpu()

    def _validate(self, val: ImageTensors | FeatureTensors | None) -> None:
        progress, model = self.progress, self.model
        trained = {k: v.clone() for k, v in model.adapter_state().items()}
        if self.average:
            model.load_adapter_state(self.average.state)
        row = {
            "epoch": len(progress.history) + 1,
            "lr": self.optimizer.param_groups[0]["lr"],
            "train_loss": progress.loss_sum / max(1, progress.step),
        }
        better = val is None
        if val is not None:
            batch_size = 2 * progress.micro_batch
            accuracy, loss = evaluate_network(self.network, val, model.num_classes, self.engine, batch_size)
            row |= {"val_loss": loss, "val_accuracy": accuracy}
            better = progress.best_accuracy is None or (accuracy, -loss) > (
                progress.best_accuracy,
                -progress.best_loss,
            )
        if better or model.protocol.selection == "last":
            progress.best = {k: v.clone() for k, v in model.adapter_state().items()}
            progress.best_epoch = len(progress.history)
            progress.best_accuracy = row.get("val_accuracy")
            progress.best_loss = row.get("val_loss", math.inf)
        if self.average:
            model.load_adapter_state(trained)
        progress.history.append(row)
        self.engine.track({k: v for k, v in row.items() if k != "epoch"}, step=len(progress.history))

    def _checkpoint(self) -> None:
        self.saved = time.monotonic()
        if self.folder is None or not self.engine.is_main:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        self.progress.adapter = self.model.adapter_state()
        self.progress.optimizer = self.optimizer.state_dict()
        write_logs(self.folder, self.progress.history)
        self.progress.save(self.folder)


def default_recipe(model: PromptedModel) -> Recipe:
    """The published recipe of the model's method for its backbone's kind of pretraining."""
    return registry.build("method", model.method).recipe(model.backbone.info.pretraining)


def start_prompts(model: PromptedModel, train: ImageTensors, seed: int, batch_size: int = 32) -> None:
    """Start the model's prompts from the training images, or the share of them that its method asks for."""
    count = len(train)
    share = model.method.get("prototype_share", 1.0)
    chosen = np.arange(count)
    if share < 1:
        size = max(1, round(share * count))
        chosen = np.sort(np.random.default_rng(seed).choice(count, size=size, replace=False))
    order = [chosen[batch] for batch in in_order(len(chosen), batch_size)]
    model.initialize(train.batches(order), seed=seed)
    if model.sources is not None:
        model.sources[..., 0] = torch.from_numpy(chosen)[model.sources[..., 0]]


def last_stage(recipe: Recipe) -> Recipe:
    """The recipe of the stage after condensation."""
    return recipe.model_copy(update={"epochs": max(1, round(LAST_STAGE * recipe.epochs))})


def condense(model: PromptedModel, train: ImageTensors, share: float, batch_size: int) -> bool:
    """Keep the share of the model's prompts that matters most on the training images; no second time."""
    insertion = model.insertion
    if not isinstance(insertion, PromptInsertion) or insertion.counts is not None:
        return False
    device = next(model.parameters()).device
    model.eval()
    order = in_order(len(train), batch_size)
    batches = ((images.to(device), labels.to(device)) for images, labels in train.batches(order))
    kept = keep_best(prompt_scores(insertion, model, batches), share)
    insertion.condense(kept.to(device))
    if model.sources is not None:
        model.sources = torch.where(kept[..., None], model.sources, -1)
    return True
