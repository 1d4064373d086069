"""Answers and accuracy on a split."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

import torch
from torch import Tensor, nn

from selfprompt.data.batches import Batches, in_order
from selfprompt.errors import Diverged
from selfprompt.heads.base import Head
from selfprompt.inputs import move, size
from selfprompt.objectives.labels import cross_entropy
from selfprompt.scores.asked import Metric
from selfprompt.scores.metrics import measured
from selfprompt.tuning.engine import Engine
from selfprompt.watch import counted


def probabilities(
    network: nn.Module, images: Batches, engine: Engine, batch_size: int, classes: int, name: str = "test"
) -> tuple[Tensor, Tensor]:
    """A network's answers for all N images, without a temperature, and the cross-entropy of each; ``name`` is that of
    the stage.

    Returns:
        (N, C) float32 for C ``classes``, and (N,) float64.

    Raises:
        Diverged: An answer is NaN or infinite.
    """
    rows = torch.zeros(len(images), classes)
    return gathered(network, images, engine, batch_size, rows, lambda found: found, name)


def validated(
    network: nn.Module, val: Batches, engine: Engine, batch_size: int, classes: int, metric: Metric
) -> dict[str, float]:
    """What a row of the log has of the validation images: ``val_loss`` and ``val_accuracy``, and the metric as
    ``val_METRIC`` where that is another. With several labels an image, the accuracy is of probabilities above 0.5.

    Errors are those of `probabilities`.
    """
    if metric == "top1":
        accuracy, loss = evaluate_network(network, val, engine, batch_size)
        return {"val_loss": loss, "val_accuracy": accuracy}
    rows, losses = probabilities(network, val, engine, batch_size, classes, "validation")
    found, labels = rows.numpy(), val.labels.numpy()
    right = (found >= 0.5) == labels if labels.ndim == 2 else (found.argmax(axis=1) == labels)[:, None]
    known = {"val_loss": losses.mean().item(), "val_accuracy": 100 * int(right.all(axis=1).sum()) / len(labels)}
    return known | {f"val_{metric}": float(measured(metric, found, labels)[0])}


def evaluate_network(network: nn.Module, images: Batches, engine: Engine, batch_size: int) -> tuple[float, float]:
    """Top-1 accuracy in percent and mean cross-entropy over all images; errors as of `probabilities`."""
    rows = torch.zeros(len(images), dtype=torch.int64)

    def likeliest(found: Tensor) -> Tensor:
        return found.max(dim=-1).indices

    predicted, losses = gathered(network, images, engine, batch_size, rows, likeliest, "validation")
    return 100 * int((predicted == images.labels).sum()) / len(images), losses.mean().item()


@torch.no_grad()
def gathered(
    network: nn.Module,
    images: Batches,
    engine: Engine,
    batch_size: int,
    rows: Tensor,
    kept: Callable[[Tensor], Tensor],
    name: str,
) -> tuple[Tensor, Tensor]:
    """Rows of 0 filled with what is kept of the probabilities (B, C) of each batch, each image answered once over all
    processes; and every image's cross-entropy."""
    network.eval()
    losses = torch.zeros(len(images), dtype=torch.float64)
    order = [batch[engine.rank :: engine.world] for batch in in_order(len(images), batch_size * engine.world)]
    order = [indices for indices in order if len(indices)]
    with ExitStack() as folded:
        for head in (module for module in network.modules() if isinstance(module, Head)):
            folded.enter_context(head.folded())
        batches = counted(images.batches(order), name, sum(map(len, order)), size)
        for (inputs, labels), indices in zip(batches, order):  # the last batch is done, too
            assert labels is not None
            with engine.autocast():
                logits = network(move(inputs, engine.device)).float()
            places = torch.from_numpy(indices)
            found = logits.sigmoid() if labels.ndim == 2 else logits.softmax(dim=-1)
            rows[places] = kept(found).cpu()
            losses[places] = cross_entropy(logits, labels.to(engine.device)).cpu().double()
    rows, losses = engine.sum(rows), engine.sum(losses)
    if not losses.isfinite().all():
        raise Diverged("The network's answers are NaN or infinite: train it with a smaller --lr.")
    return rows, losses
