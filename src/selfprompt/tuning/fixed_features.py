"""Features that training does not change, computed once in the place of images."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from selfprompt.data.loading import ImageTensors, in_order
from selfprompt.errors import UserError
from selfprompt.model import PromptedModel


def features_are_fixed(model: PromptedModel) -> bool:
    """Whether nothing before the head changes in training, so that features can be computed once."""
    trained = [name for name, p in model.named_parameters() if p.requires_grad]
    return all(name.startswith("head.") for name in trained) and not getattr(model.insertion, "dropout", 0)


class FeatureTensors:
    """Frozen features in the place of images."""

    augmented = False

    def __init__(self, features: Tensor, labels: Tensor) -> None:
        self.features, self.labels = features, labels

    def __len__(self) -> int:
        return len(self.labels)

    def batches(self, order: list[np.ndarray], epoch: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches (features, labels) for each array of indices."""
        for indices in order:
            yield self.features[torch.from_numpy(indices)], self.labels[torch.from_numpy(indices)]


@torch.no_grad()
def frozen_features(model: PromptedModel, images: ImageTensors | FeatureTensors, batch_size: int) -> FeatureTensors:
    """The features of all images, computed once.

    Raises:
        UserError: A feature is NaN or infinite.
    """
    model.eval()
    device = next(model.parameters()).device
    rows = [model.features(b.to(device)).float().cpu() for b, _ in images.batches(in_order(len(images), batch_size))]
    features = torch.cat(rows)
    if not features.isfinite().all():
        raise UserError(
            f"The features of {model.backbone.info.name} are NaN or infinite: its weights hold such numbers, or "
            f"float32 is needed (--precision float32)."
        )
    return FeatureTensors(features, images.labels)
