"""Accuracy on a split."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor, nn

from selfprompt.data.batches import Batches, in_order
from selfprompt.errors import Diverged
from selfprompt.heads.base import Head
from selfprompt.inputs import move
from selfprompt.objectives.labels import cross_entropy
from selfprompt.tuning.engine import Engine


@torch.no_grad()
def answers(network: nn.Module, images: Batches, engine: Engine, batch_size: int) -> tuple[Tensor, Tensor, Tensor]:
    """What a network says of every image, each asked once over all processes.

    Returns:
        (N,) each, in float64: the predicted class, its probability, and the cross-entropy.

    Raises:
        Diverged: An answer is NaN or infinite.
    """
    network.eval()
    rows = torch.zeros(3, len(images), dtype=torch.float64)
    order = [batch[engine.rank :: engine.world] for batch in in_order(len(images), batch_size * engine.world)]
    order = [indices for indices in order if len(indices)]
    with heads_folded(network):
        for indices, (inputs, labels) in zip(order, images.batches(order)):
            assert labels is not None
            with engine.autocast():
                logits = network(move(inputs, engine.device)).float()
            probability, predicted = logits.softmax(dim=-1).max(dim=-1)
            losses = cross_entropy(logits, labels.to(engine.device))
            rows[:, torch.from_numpy(indices)] = torch.stack([predicted, probability, losses]).cpu().double()
    predicted, probability, losses = engine.sum(rows)
    if not losses.isfinite().all():
        raise Diverged("The network's answers are NaN or infinite: train it with a smaller --lr.")
    return predicted, probability, losses


@contextmanager
def heads_folded(network: nn.Module) -> Iterator[None]:
    """Inside, what a network's heads make of no input is computed once (see `Head.folded`)."""
    with ExitStack() as folded:
        for head in (module for module in network.modules() if isinstance(module, Head)):
            folded.enter_context(head.folded())
        yield


def evaluate_network(network: nn.Module, images: Batches, engine: Engine, batch_size: int) -> tuple[float, float]:
    """Top-1 accuracy in percent and mean cross-entropy over all images."""
    predicted, _, losses = answers(network, images, engine, batch_size)
    return 100 * int((predicted == images.labels).sum()) / len(images), losses.mean().item()
