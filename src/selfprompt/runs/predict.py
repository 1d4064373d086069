"""The class of images or texts without labels, whichever of them can be read."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image
from typing_extensions import NotRequired, TypedDict

from selfprompt.backbones.load import BackboneSource
from selfprompt.data.arrays import CHANNELS, as_it_is_now, is_array
from selfprompt.data.images import ImageSource
from selfprompt.data.protocol import BaseProtocol
from selfprompt.data.sources.folder import images_below
from selfprompt.errors import Diverged, UserError
from selfprompt.inputs import move
from selfprompt.model import PromptedModel, load
from selfprompt.tuning.engine import Engine

logger = logging.getLogger("selfprompt")

BATCH_SIZE = 64

Named = tuple[int, str | int, Any]
"""An image's place among all of them, its name, and the image or what is wrong with it."""


class Prediction(TypedDict):
    """An image's path or number, or a text's number, its class and how likely; ``error`` says why there is none."""

    image: NotRequired[str | int]
    text: NotRequired[int]
    label: str | None
    probability: float | None
    error: NotRequired[str]


@torch.no_grad()
def predict(
    adapter: str | Path,
    images: Any,
    *,
    backbone: BackboneSource | None = None,
    on_error: Literal["skip", "stop"] = "skip",
) -> list[Prediction]:
    """The likeliest class of each image, in the order given; memory does not grow with their number.

    Args:
        adapter: A folder or hub repository.
        images: Image files, folders whose images are taken, PIL images, or arrays and tensors as for `fit`; one of
            these, or several. An image that is named twice is answered twice; of several frames the first is.
            For a model of texts a string, or several; pairs of strings where its template takes two.
        backbone: The backbone, if it is no longer where it was.
        on_error: ``skip`` answers the other images where one cannot be read; ``stop`` ends with an error.

    Returns:
        For each image ``image`` (its path, or its number from 0 where it has none), or for each text ``text`` (its
        number from 0), ``label`` (a name where the
        adapter knows it) and ``probability``. Where an image could not be read both are None, and ``error`` says why.

    Raises:
        UserError: These are no images, none can be read, or one cannot and ``on_error`` is ``stop``; or from `load`.
    """
    if on_error not in ("skip", "stop"):
        raise UserError(f"on_error is {on_error!r}: give 'skip' or 'stop'.")
    model = load(adapter, backbone)
    names = model.class_names or [str(i) for i in range(model.num_classes)]
    engine = Engine()
    engine.place(model)
    kind = model.protocol.inputs
    mine = islice(strings(images) if kind == "text" else listed(images), engine.rank, None, engine.world)
    answers: list[tuple[int, Prediction]] = []
    with model.folded(), engine.computing(model), engine.autocast():
        for batch in decoded(mine, model.protocol):
            wrong = [found for _, _, found in batch if isinstance(found, UserError)]
            if wrong and on_error == "stop":
                raise wrong[0]
            sources = [found for _, _, found in batch if not isinstance(found, UserError)]
            guesses = iter(likeliest(model, sources, engine) if sources else ())
            for place, name, found in batch:
                answer: Any = {kind: name, "label": None, "probability": None}
                if isinstance(found, UserError):
                    answer["error"] = str(found)
                else:
                    label, answer["probability"] = next(guesses)
                    answer["label"] = names[label]
                answers.append((place, answer))
    predictions = [answer for _, answer in sorted(engine.gather(answers), key=lambda pair: pair[0])]
    errors = [p["error"] for p in predictions if "error" in p]
    if not predictions:
        give = "strings" if kind == "text" else "image files, or folders of them"
        raise UserError(f"There are no {kind}s to predict: give {give}.")
    if len(errors) == len(predictions):
        many = f"None of {len(errors)} {kind}s can be read; the first: " if len(errors) > 1 else ""
        raise UserError(many + errors[0])
    if errors:
        logger.warning("%d of %d %ss could not be read.", len(errors), len(predictions), kind)
    return predictions


def likeliest(model: PromptedModel, sources: list[Any], engine: Engine) -> list[tuple[int, float]]:
    """The class and its probability for each of some sources, as the model's view has read them."""
    logits = model(move(model.protocol.view().collate(sources, len(sources)), engine.device)).float()
    probability, label = logits.softmax(dim=-1).max(dim=-1)
    if not probability.isfinite().all():
        raise Diverged("The network's answers are NaN or infinite: train it with a smaller --lr.")
    return list(zip(label.tolist(), probability.tolist()))


def listed(images: ImageSource | Iterable[ImageSource]) -> Iterator[Named]:
    """One image, folder or path, or several, as single images; a folder without any as what is wrong with it."""
    many: Any = [images] if is_one(images) else images
    if not hasattr(many, "__iter__"):
        raise UserError(f"A {type(images).__name__} is no image: give a path, a PIL image or an array, or several.")
    held, place = isinstance(many, (list, tuple)) or is_array(many), 0
    for number, source in enumerate(many):
        found: list[tuple[str | int, Any]] = [(number, source if held else as_it_is_now(source))]
        if isinstance(source, str) and not source.strip():
            found = [(number, UserError("An empty name is no image: give a path."))]
        elif isinstance(source, (str, os.PathLike)):
            path = Path(source)
            found = [(str(path), path)]
            if os.path.isdir(path):
                none = UserError(f"{path} has no images: give image files, or folders of them.")
                found = [(str(image), image) for image in images_below(path)] or [(str(path), none)]
        for name, image in found:
            yield place, name, image
            place += 1


def strings(texts: Any) -> Iterator[Named]:
    """One text, or several, by their numbers."""
    if not hasattr(texts, "__iter__"):
        raise UserError(f"A {type(texts).__name__} is no text: give a string, or several.")
    for number, text in enumerate([texts] if isinstance(texts, (str, Mapping)) else texts):
        yield number, number, text


def is_one(images: Any) -> bool:
    """Whether it is one image, and not several."""
    if is_array(images):
        return images.ndim in (0, 2, 3)
    return isinstance(images, (str, bytes, os.PathLike, Image.Image, Mapping)) or hasattr(images, "read")


def decoded(images: Iterator[Named], protocol: BaseProtocol) -> Iterator[list[Named]]:
    """Batches of sources as their view reads them, each read by threads while the one before is used."""
    with ThreadPoolExecutor(max_workers=torch.get_num_threads(), thread_name_prefix="decode") as threads:

        def ahead() -> Iterator[Named]:
            return threads.map(lambda image: decode(image, protocol), list(islice(images, BATCH_SIZE)))

        pending = ahead()
        while batch := list(pending):
            pending = ahead()
            yield batch


def decode(image: Named, protocol: BaseProtocol) -> Named:
    """One image or text as its view reads it, or what is wrong with it."""
    (place, name, source), view = image, protocol.view()
    if isinstance(source, UserError):
        return image
    try:
        deep = isinstance(source, np.ndarray) and source.dtype.kind in "iu"  # of whatever depth it was trained on
        if not (deep and (source.ndim == 2 or (source.ndim == 3 and source.shape[2] in CHANNELS))):
            source = view.accept(source)
        return place, name, view.read(source)
    except UserError as error:
        return (
            place,
            name,
            UserError(f"{protocol.inputs.capitalize()} number {name}: {error}") if isinstance(name, int) else error,
        )
