"""Features that training does not change, computed once in the place of images."""

from __future__ import annotations

import torch

from selfprompt.data.batches import Batches, Features, in_order
from selfprompt.errors import UserError
from selfprompt.inputs import move, size
from selfprompt.model import PromptedModel
from selfprompt.watch import counted


def features_are_fixed(model: PromptedModel) -> bool:
    """Whether nothing before the head changes in training, so that features can be computed once."""
    trained = [name for name, p in model.named_parameters() if p.requires_grad]
    return all(name.startswith("head.") for name in trained) and not model.tower.insertion.dropout


@torch.no_grad()
def frozen_features(model: PromptedModel, images: Batches, batch_size: int) -> Features:
    """The features of all images, computed once.

    Raises:
        UserError: A feature is NaN or infinite.
    """
    model.eval()
    device = next(model.parameters()).device
    order = in_order(len(images), batch_size)
    batches = counted(images.batches(order), "features", len(images), size)
    rows = [model.features(move(inputs, device)).float().cpu() for inputs, _ in batches]
    features = torch.cat(rows)
    if not features.isfinite().all():
        raise UserError(
            f"The features of {model.backbone.info.name} are NaN or infinite: its weights hold such numbers, or "
            f"float32 is needed (--precision float32)."
        )
    return Features(features, images.labels)
