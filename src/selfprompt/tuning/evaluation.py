"""Accuracy on a split."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from selfprompt.data.loading import ImageTensors, in_order
from selfprompt.tuning.engine import Engine
from selfprompt.tuning.fixed_features import FeatureTensors


@torch.no_grad()
def evaluate_network(
    network: nn.Module, images: ImageTensors | FeatureTensors, engine: Engine, batch_size: int
) -> tuple[float, float]:
    """Top-1 accuracy in percent and mean cross-entropy over all images, each counted once over all processes."""
    network.eval()
    right_and_loss = torch.zeros(2, dtype=torch.float64)
    order = [batch[engine.rank :: engine.world] for batch in in_order(len(images), batch_size * engine.world)]
    for batch, labels in images.batches([indices for indices in order if len(indices)]):
        logits = network(batch.to(engine.device)).float()
        labels = labels.to(engine.device)
        right, loss = (logits.argmax(dim=-1) == labels).sum(), F.cross_entropy(logits, labels, reduction="sum")
        right_and_loss += torch.stack([right, loss]).double().cpu()
    all_right, all_loss = engine.sum(right_and_loss.to(engine.device)).tolist()
    return 100 * all_right / len(images), all_loss / len(images)


@torch.no_grad()
def predict_probabilities(network: nn.Module, images: ImageTensors, batch_size: int = 64) -> np.ndarray:
    """Class probabilities (N, C) of all images in their order."""
    network.eval()
    device = next(network.parameters()).device
    rows = [
        network(b.to(device)).float().softmax(-1).cpu() for b, _ in images.batches(in_order(len(images), batch_size))
    ]
    return torch.cat(rows).numpy()
