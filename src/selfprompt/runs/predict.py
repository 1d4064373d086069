"""The class of images or texts without labels, whichever of them can be read."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image
from typing_extensions import NotRequired, TypedDict

from selfprompt.adaptations import make_adaptation
from selfprompt.adaptations.base import Adaptation, Adapted
from selfprompt.backbones.load import BackboneSource
from selfprompt.data.arrays import CHANNELS, as_it_is_now, is_array
from selfprompt.data.images import ImageSource
from selfprompt.data.sources.folder import images_below
from selfprompt.data.views.base import View
from selfprompt.errors import Diverged, UserError
from selfprompt.inputs import Inputs, move
from selfprompt.model import PromptedModel, load
from selfprompt.runs.texts import strings
from selfprompt.tuning.engine import Engine

logger = logging.getLogger("selfprompt")

BATCH_SIZE = 64

Named = tuple[int, Any, Any]
"""An image's place among all of them, its name, and the image or what is wrong with it; a text is its own name."""


class Prediction(TypedDict):
    """An image's path or number, or a text, its class and how likely; ``error`` says why there is none."""

    image: NotRequired[str | int]
    text: NotRequired[str | list[str]]
    label: str | None
    probability: float | None
    error: NotRequired[str]


@torch.no_grad()
def predict(
    adapter: str | Path,
    images: Any,
    *,
    backbone: BackboneSource | None = None,
    class_names: Sequence[str] | None = None,
    on_error: Literal["skip", "stop"] = "skip",
    adapt: str | Adaptation | None = None,
) -> list[Prediction]:
    """The likeliest class of each image, in the order given; memory does not grow with their number.

    Args:
        adapter: A folder or hub repository.
        images: Image files, folders whose images are taken, PIL images, or arrays and tensors as for `fit`; one of
            these, or several. An image that is named twice is answered twice; of several frames the first is.
            For a model of texts a string, or several, or pairs of strings; a `Path` is a file of texts (see
            `selfprompt.runs.texts.strings`).
        backbone: The backbone, if it is no longer where it was.
        class_names: Other classes than those trained on, by their names, where the head is of their texts.
        on_error: ``skip`` answers the other images where one cannot be read; ``stop`` ends with an error.
        adapt: What is done for each image by itself, such as ``tpt`` or ``tpt:views=32`` (see `list_adaptations`).

    Returns:
        For each image ``image`` (its path, or its number from 0 where it has none), or for each text ``text``
        (itself, or both of a pair), ``label`` (a name where the adapter knows it) and ``probability``. Where it could
        not be read both are None, and ``error`` says why.

    Raises:
        UserError: These are no images, none can be read, or one cannot and ``on_error`` is ``stop``; there is no such
            adaptation, or it does not suit the adapter; the head knows no classes but its own, or there are fewer
            than two; or from `load`.
    """
    if on_error not in ("skip", "stop"):
        raise UserError(f"on_error is {on_error!r}: give 'skip' or 'stop'.")
    adaptation = None if adapt is None else make_adaptation(adapt)
    model = load(adapter, backbone)
    if class_names is not None:
        model = model.for_classes(several(class_names))
    names = model.class_names or [str(i) for i in range(model.num_classes)]
    engine = Engine()
    engine.place(model)
    view, kind = model.protocol.view(), model.protocol.inputs
    network, read, size = model, view.read, BATCH_SIZE
    if adaptation is not None:
        network = adaptation.adapted(model)
        read, size = partial(view.views, variation=adaptation.variation), adaptation.batch_size
    mine = islice(strings(images) if kind == "text" else listed(images), engine.rank, None, engine.world)
    answers: list[tuple[int, Prediction]] = []
    with network.folded(), engine.computing(model), engine.autocast():
        for batch in decoded(mine, view, read, kind, size):
            wrong = [found for _, _, found in batch if isinstance(found, UserError)]
            if wrong and on_error == "stop":
                raise wrong[0]
            sources = [found for _, _, found in batch if not isinstance(found, UserError)]
            if adaptation is not None:
                sources = [seen for views in sources for seen in views]
            guesses = iter(likeliest(network, view.collate(sources, len(sources)), engine) if sources else ())
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


def several(names: Sequence[str]) -> list[str]:
    """Names of classes, of which there are two or more.

    Raises:
        UserError: There are not.
    """
    if isinstance(names, str) or len(names) < 2:
        raise UserError(f"The class names are {names!r:.60}: give two or more, one for each class.")
    return list(names)


def likeliest(network: PromptedModel | Adapted, inputs: Inputs, engine: Engine) -> list[tuple[int, float]]:
    """The class, which no temperature changes, and its probability for each of some inputs."""
    logits = network(move(inputs, engine.device)).float()
    label = logits.softmax(dim=-1).max(dim=-1).indices
    probability = network.probabilities(logits).take_along_dim(label[:, None], dim=1)[:, 0]
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


def is_one(images: Any) -> bool:
    """Whether it is one image, and not several."""
    if is_array(images):
        return images.ndim in (0, 2, 3)
    return isinstance(images, (str, bytes, os.PathLike, Image.Image, Mapping)) or hasattr(images, "read")


def decoded(
    sources: Iterator[Named], view: View, read: Callable[[Any], Any], kind: str, size: int
) -> Iterator[list[Named]]:
    """Batches of ``size`` sources as they are read, each read by threads while the one before is used."""
    with ThreadPoolExecutor(max_workers=torch.get_num_threads(), thread_name_prefix="decode") as threads:

        def ahead() -> Iterator[Named]:
            return threads.map(lambda image: decode(image, view, read, kind), list(islice(sources, size)))

        pending = ahead()
        while batch := list(pending):
            pending = ahead()
            yield batch


def decode(image: Named, view: View, read: Callable[[Any], Any], kind: str) -> Named:
    """One image or text as it is read, or what is wrong with it."""
    place, name, source = image
    if isinstance(source, UserError):
        return image
    shown = said(source) if kind == "text" else name
    try:
        deep = isinstance(source, np.ndarray) and source.dtype.kind in "iu"  # of whatever depth it was trained on
        if not (deep and (source.ndim == 2 or (source.ndim == 3 and source.shape[2] in CHANNELS))):
            source = view.accept(source)
        return place, shown, read(source)
    except UserError as error:
        where = f"{kind.capitalize()} number {name}: " if isinstance(name, int) else f"{name}: "
        return place, shown, error if kind == "image" and isinstance(name, str) else UserError(f"{where}{error}")


def said(text: Any) -> Any:
    """A text as it was given; of a pair both."""
    if isinstance(text, Mapping):
        text = tuple(text.values())
    if isinstance(text, (tuple, list)):
        return text[0] if len(text) == 1 else list(text)
    return text
