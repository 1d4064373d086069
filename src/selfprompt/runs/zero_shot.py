"""What an image-text model says without training, and what trained prompts say of classes that they never saw."""

from __future__ import annotations

import statistics

import numpy as np
import torch
from numpy.typing import NDArray

from selfprompt.assembly import build
from selfprompt.backbones.base import Backbone
from selfprompt.backbones.clip import DualEncoder
from selfprompt.data.batches import Decoded, Features
from selfprompt.data.datasets import Splits
from selfprompt.methods.zeroshot import ZeroShot
from selfprompt.model import PromptedModel
from selfprompt.tuning.engine import Engine
from selfprompt.tuning.evaluation import probabilities
from selfprompt.tuning.fixed_features import frozen_features
from selfprompt.tuning.records import NewClasses


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


def new_classes(
    model: PromptedModel, backbone: Backbone | DualEncoder, new: Splits, accuracy: float, engine: Engine, size: int
) -> NewClasses:
    """The test images of classes that a model was not trained on, by the names of these alone.

    Args:
        model: The trained one.
        backbone: That it was built on.
        new: The splits of those classes.
        accuracy: The model's on the classes that it was trained on, in percent.
        engine: Where to compute.
        size: Images at a time.
    """
    own = model.for_classes(new.class_names)
    images = Decoded(new.test, model.protocol)
    engine.place(own)
    with own.folded(), engine.computing(own):
        found, _ = probabilities(own, images, engine, size, own.num_classes)
    labels = images.labels.numpy()
    right = 100 * float((found.argmax(dim=1).numpy() == labels).mean())
    plain = zero_shot(own, backbone, engine)
    with engine.computing(plain), engine.autocast():
        answers = zero_shot_answers(plain, frozen_features(plain, images, size))
    return {
        "images": len(images),
        "accuracy": right,
        "harmonic_mean": statistics.harmonic_mean((accuracy, right)),
        "zero_shot_accuracy": 100 * float((answers == labels).mean()),
    }
