"""Features of images or texts: of a task's model, or of a frozen backbone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float

from selfprompt.adapters.format import is_adapter
from selfprompt.assembly import build, load
from selfprompt.backbones.base import private_copy
from selfprompt.backbones.load import BackboneSource, load_backbone
from selfprompt.errors import Diverged, UserError
from selfprompt.methods.linear import Linear
from selfprompt.model import PromptedModel
from selfprompt.runs.streaming import OnError, answered
from selfprompt.tuning.engine import Engine


class Embeddings(NamedTuple):
    """Features with the names of what they are of.

    Args:
        names: Paths or numbers of images, or texts, of those that could be read.
        features: (N, F) float32.
        errors: Why the others could not.
    """

    names: list[Any]
    features: Float[np.ndarray, "inputs features"]
    errors: list[str]


def embed(source: BackboneSource | PromptedModel, inputs: Any, **options: Any) -> Embeddings:
    """What the head of a task's model reads of each input, or a frozen backbone's own feature, in the order given.

    Args:
        source: An adapter (a folder, or ``hf:user/name``), a model, or a backbone (see `load_backbone`).
        inputs: Images or texts, as for `predict`.
        **options: Of `embed_each`.

    Raises:
        UserError: From `embed_each`.
    """
    names, features, errors = [], [], []
    for name, found in embed_each(source, inputs, **options):
        if isinstance(found, UserError):
            errors.append(str(found))
        else:
            names.append(name)
            features.append(found)
    return Embeddings(names, np.stack(features), errors)


def embed_each(
    source: BackboneSource | PromptedModel,
    inputs: Any,
    *,
    backbone: BackboneSource | None = None,
    image_size: int | None = None,
    on_error: OnError = "skip",
) -> Iterator[tuple[Any, np.ndarray | UserError]]:
    """What `embed` gives, one by one, as it is found: memory does not grow with the number of inputs.

    Args:
        source, inputs: See `embed`.
        backbone: That of an adapter, if it is no longer where it was.
        image_size: Side of what a backbone sees, in pixels, if not its own.
        on_error: ``skip`` leaves out what cannot be read; ``stop`` ends with an error.

    Returns:
        The name of each input with its features (F,), or with the error where it cannot be read.

    Raises:
        UserError: These are no inputs, none can be read, or one cannot and ``on_error`` is ``stop``; from `load` or
            `load_backbone`.
    """
    model = embedding(source, backbone, image_size)
    view, kind = model.protocol.view(), model.protocol.inputs
    engine = Engine()
    engine.place(model)

    @torch.no_grad()
    def features(batch: Any) -> list[np.ndarray]:
        with engine.autocast():
            found = model.features(batch).float().cpu().numpy()
        if not np.isfinite(found).all():
            raise Diverged("The network's features are NaN or infinite: train it with a smaller --lr.")
        return list(found.copy())

    def each() -> Iterator[tuple[Any, np.ndarray | UserError]]:
        with model.insertion.folded(model.prompted.backbone), engine.computing(model):
            yield from answered(inputs, view, kind, engine, features, on_error=on_error)

    return each()


def embedding(
    source: BackboneSource | PromptedModel, backbone: BackboneSource | None = None, image_size: int | None = None
) -> PromptedModel:
    """The model whose features are asked for: an adapter's, or one around a backbone alone, with its own readout.

    Raises:
        UserError: A backbone is given beside what is none, an image size beside what has one, or from `load`.
    """
    trained = isinstance(source, PromptedModel)
    if trained or (isinstance(source, (str, os.PathLike)) and is_adapter(source)):
        if image_size is not None:
            raise UserError("An adapter has an image size of its own: leave --image-size out.")
        model = source if isinstance(source, PromptedModel) else load(source, backbone)  # type: ignore[arg-type]
        return private_copy(model).eval()
    if backbone is not None:
        raise UserError(f"{source} is no adapter, and so the backbone itself: leave --backbone out.")
    return build(Linear(readout="backbone"), load_backbone(source, image_size), 2).eval()
