"""The loop over epochs and steps."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from selfprompt import watch
from selfprompt.adapters.kept import not_finite
from selfprompt.data.batches import Batches, apart
from selfprompt.errors import Diverged, UserError
from selfprompt.inputs import Batch, count, cut, place
from selfprompt.methods.stages import Again, Stage
from selfprompt.model import PromptedModel
from selfprompt.objectives.base import total
from selfprompt.rules.subspace import flat
from selfprompt.tuning.balance import drawn
from selfprompt.tuning.checkpoint import Progress
from selfprompt.tuning.engine import Engine, out_of_memory
from selfprompt.tuning.evaluation import validated
from selfprompt.tuning.fixed_features import features_are_fixed, frozen_features
from selfprompt.tuning.optimization import MovingAverage, diverged, set_rates, trained_besides_head
from selfprompt.tuning.records import write_logs, write_prompts
from selfprompt.tuning.task import Task

SNAPSHOTS = 10

OnStep = Callable[[int, int, str], None]
"""Called with (steps done, steps in all, a few words)."""
Ends = Callable[[float], bool]
"""Asked after every step, with the share of all epochs that there are to the end of its stage: whether this one ends
here, with the best of its epochs so far."""


class Loop:
    """Epochs and steps from wherever ``progress`` stands.

    Attributes:
        seconds, waiting: Time spent in training epochs, and how much of it was spent waiting for images.
        compiling: Time of the first step, where steps are compiled.
    """

    def __init__(
        self,
        model: PromptedModel,
        optimizer: torch.optim.Optimizer,
        stage: Stage,
        engine: Engine,
        progress: Progress,
        folder: Path | None,
        seed: int,
        on_step: OnStep | None,
        checkpoint_seconds: float,
        begun: float,
        ends: Callable[[], bool] | None = None,
    ) -> None:
        self.model, self.optimizer, self.stage, self.engine = model, optimizer, stage, engine
        self.recipe = recipe = stage.recipe
        self.progress, self.folder, self.seed = progress, folder, seed
        self.on_step, self.checkpoint_seconds, self.begun = on_step, checkpoint_seconds, begun
        self.ends, self.ended = ends, False
        self.seconds = self.waiting = self.compiling = 0.0
        self.weights = trained_besides_head(model)
        self.average: MovingAverage | None = None
        if recipe.ema_decay:
            start = {k: v.to(engine.device) for k, v in (progress.average or model.adapter_state()).items()}
            self.average = MovingAverage(start, recipe.ema_decay)
            progress.average = self.average.state

    def run(self, train: Batches, val: Batches | None) -> None:
        """Train to the end of the recipe, or until validation's metric has not improved for ``patience`` epochs."""
        self.model.tower.checkpointing = self.recipe.checkpointing
        here = [self.engine.device] if self.engine.device.type == "cuda" else []
        with self.engine.computing(self.model), torch.random.fork_rng(devices=here):  # steps seed torch's generators
            self._run(train, val)

    def _run(self, train: Batches, val: Batches | None) -> None:
        model, progress = self.model, self.progress
        if self.engine.world > 1 and model.method.head_norm == "batch":
            raise UserError(
                f"A BatchNorm before the head needs the whole batch in one place, and {self.engine.world} processes "
                f"have a part each: use --head-norm none, or one process."
            )
        self.network: nn.Module = model
        self.fixed = features_are_fixed(model) and not (train.augmented or self.recipe.mixes)
        self.mix: Callable[[Batch], Batch] | None = None
        if self.recipe.mixes:
            from selfprompt.tuning.mixing import Mixing  # it imports torchvision

            self.mix = Mixing(self.recipe, model.num_classes)
        if self.fixed:
            with self.engine.autocast():
                train = frozen_features(model, train, 2 * progress.micro_batch)
                val = None if val is None else frozen_features(model, val, 2 * progress.micro_batch)
            self.network = model.head
        task = Task(self.network, self.stage.loss, self.stage.penalties, model)
        self.prepared = self.engine.prepare(task)
        compiled: Any = torch.compile(self.prepared, fullgraph=True) if self.recipe.compile else self.prepared
        self.task: nn.Module = compiled
        steps = max(1, len(train) // self.recipe.batch_size)
        self.saved = time.monotonic()
        if not (progress.epoch or progress.step):
            self._snapshot()
        while progress.epoch < self.stage.epochs and not progress.finished:
            done = progress.epoch * steps + progress.step
            with watch.stage("training", steps * self.stage.epochs, "steps", done) as advance:
                begun = time.monotonic()
                self._epoch(train, steps, advance)
                self.seconds += time.monotonic() - begun
                self._validate(val)
                progress.epoch, progress.step, progress.loss_sum = progress.epoch + 1, 0, 0.0
                self._snapshot()
                if isinstance(self.stage.then, Again):
                    progress.path.append(flat(self.weights).detach().cpu())
                waited = len(progress.history) - 1 - progress.best_epoch
                last = progress.epoch == self.stage.epochs or self.ended
                progress.finished = last or waited >= (self.recipe.patience or math.inf)
                self._checkpoint()

    def _epoch(self, train: Batches, steps: int, advance: watch.Advance) -> None:
        progress, recipe = self.progress, self.recipe
        order = self.stage.rule.order(len(train), recipe.batch_size, self.seed, progress.epoch, progress.held)
        if recipe.balance == "sampler":
            picked = drawn(train.labels, self.seed, progress.epoch)
            order = [picked[indices] for indices in order]
        if train.augmented:
            order = apart(order, len(train))
        order = order[progress.step :]
        shares = [batch[self.engine.rank :: self.engine.world] for batch in order]
        batches = train.batches(shares, progress.epoch)
        for indices in order:
            asked = time.monotonic()
            batch = next(batches)
            self.waiting += time.monotonic() - asked
            done = progress.epoch * steps + progress.step
            torch.manual_seed(hash((self.seed, done, self.engine.rank)) % 2**63)
            set_rates(self.optimizer, recipe, done, steps * recipe.epochs)
            if self.mix:
                batch = place(batch, self.engine.device)
                batch = self.mix(batch._replace(inputs=self.model.normalize(batch.inputs)))
            loss = self._step(batch, len(indices))
            if not math.isfinite(loss):
                raise self._diverged(f"The loss became {loss}")
            progress.loss_sum += loss
            progress.step += 1
            if self.average:
                self.average.update(self.model.adapter_state())
            words = f"epoch {progress.epoch + 1}, loss {loss:.3f}"
            if self.on_step:
                self.on_step(done + 1, steps * self.stage.epochs, words)
            advance(1, words)
            self.ended = self.ends is not None and self.engine.from_main(self.ends)
            if self.ended:
                break
            if progress.step < steps and time.monotonic() - self.saved >= self.checkpoint_seconds:
                self._checkpoint()

    def _step(self, batch: Batch, size: int) -> float:
        """One step of the rule, over ``size`` examples of all processes."""
        begun, here = time.monotonic(), count(batch.inputs)

        def backward(part: Batch) -> Tensor:
            return self._backward(part, size * count(part.inputs) // here)

        loss = self.stage.rule.step(backward, batch, self.optimizer, self.weights, self.progress.held)
        self.optimizer.zero_grad(set_to_none=True)
        if self.recipe.compile and not self.compiling:
            self.compiling = time.monotonic() - begun
        return loss.item()

    def _backward(self, batch: Batch, size: int) -> Tensor:
        """The mean loss of a batch, in as many pieces as memory wants; see `selfprompt.rules.base.Backward`."""
        self.prepared.train()
        while True:
            try:
                loss = torch.zeros((), dtype=torch.float64)
                *pieces, last = cut(batch, self._pieces(batch))
                for piece in pieces:
                    with self.engine.no_sync(self.prepared):
                        loss += self._piece(piece, size)
                loss += self._piece(last, size, penalised=True)
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
        return self.engine.sum(loss) / size

    def _pieces(self, batch: Batch) -> int:
        """In how many pieces a batch goes through the network: what memory holds; fixed features are one."""
        micro, size = self.progress.micro_batch, count(batch.inputs)
        if self.fixed or size <= micro:
            return 1
        if self.model.method.head_norm == "batch":
            raise UserError(
                f"A BatchNorm before the head needs the whole batch of {size} images at once, and memory holds "
                f"{micro}: use --batch-size {micro} or less, or --head-norm none."
            )
        return math.ceil(size / micro)

    def _piece(self, batch: Batch, size: int, penalised: bool = False) -> Tensor:
        """The sum of a piece's losses, and their gradients' share of the whole batch."""
        if count(batch.inputs) == 1 and self.model.method.head_norm == "batch":
            raise UserError("A BatchNorm before the head needs two images a pass: use --head-norm none.")
        losses, penalty = self.task(place(batch, self.engine.device))
        loss = total(losses)
        share = loss * (self.engine.world / size)
        self.engine.backward(share + penalty if penalised and self.stage.penalties else share)
        return loss.detach().cpu().double()

    def _diverged(self, what: str) -> Diverged:
        return diverged(f"{what} in epoch {self.progress.epoch + 1}", self.recipe.lr, self.recipe.head_lr)

    def _validate(self, val: Batches | None) -> None:
        progress, model = self.progress, self.model
        trained = {k: v.clone() for k, v in model.adapter_state().items()}
        for state in (trained, self.average.state if self.average else {}):
            if odd := not_finite(state):
                raise self._diverged(f"The weight {odd} became NaN or infinite")
        if self.average:
            model.load_adapter_state(self.average.state)
        row = {
            "epoch": len(progress.history) + 1,
            "lr": self.optimizer.param_groups[0]["lr"],
            "train_loss": progress.loss_sum / max(1, progress.step),
        }
        by = "val_accuracy" if model.protocol.metric == "top1" else f"val_{model.protocol.metric}"
        better = val is None
        if val is not None:
            rest = (2 * progress.micro_batch, model.num_classes, model.protocol.metric)
            try:
                row |= validated(self.network, val, self.engine, *rest)
            except Diverged:
                raise self._diverged("The validation loss became NaN or infinite") from None
            before = progress.best_accuracy if by == "val_accuracy" else progress.best_score
            better = before is None or (row[by], -row["val_loss"]) > (before, -progress.best_loss)
        if better or model.protocol.selection == "last":
            progress.best = {k: v.clone() for k, v in model.adapter_state().items()}
            progress.best_epoch = len(progress.history)
            progress.best_accuracy = row.get("val_accuracy")
            progress.best_loss = row.get("val_loss", math.inf)
            progress.best_score = row.get(by) if by != "val_accuracy" else None
        if self.average:
            model.load_adapter_state(trained)
        progress.history.append(row)
        self.engine.track({k: v for k, v in row.items() if k != "epoch"}, step=len(progress.history))

    def _snapshot(self) -> None:
        """Keep the prompts after this epoch for analysis, unless they are condensed; of long runs some ten times."""
        epoch, every = self.progress.epoch, math.ceil(self.stage.epochs / SNAPSHOTS)
        prompts = self.model.prompts
        if self.folder is None or not self.engine.is_main or prompts is None or prompts.dim() < 3:
            return
        if epoch % every == 0 or epoch == self.stage.epochs:
            write_prompts(self.folder, epoch, self.model.insertion)

    def _checkpoint(self) -> None:
        self.saved = time.monotonic()
        if self.folder is None or not self.engine.is_main:
            return
        self.progress.adapter = self.model.adapter_state()
        self.progress.optimizer = self.optimizer.state_dict()
        self.progress.seconds = self.saved - self.begun
        write_logs(self.folder, self.progress.history)
        self.progress.save(self.folder)
