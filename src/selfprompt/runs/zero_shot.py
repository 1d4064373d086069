"""What an image-text model says without training."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from selfprompt.assembly import build
from selfprompt.backbones.base import Backbone
from selfprompt.backbones.clip import DualEncoder
from selfprompt.data.batches import Features
from selfprompt.methods.zeroshot import ZeroShot
from selfprompt.model import PromptedModel
from selfprompt.tuning.engine import Engine


def zero_shot(model: PromptedModel, backbone: Backbone | DualEncoder, engine: Engine) -> PromptedModel:
    """The hand-written text of each class in the place of what a model has trained."""
    protocol, names = model.protocol, model.class_names
    plain = build(ZeroShot(template=model.method.template), backbone, model.num_classes, protocol, names)
    engine.place(plain)
    return plain


@torch.no_grad()
def zero_shot_answers(plain: PromptedModel, features: Features) -> NDArray[np.integer]:
    """(N,) classes by (N, F) features of images, which `zero_shot`'s own tower of images has given."""
    device = next(plain.parameters()).device
    return plain.head(features.features.to(device)).argmax(dim=-1).cpu().numpy()
