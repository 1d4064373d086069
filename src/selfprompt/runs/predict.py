"""The class of images or texts without labels, whichever of them can be read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, NotRequired

import numpy as np
import torch
from torch import Tensor
from typing_extensions import TypedDict

from selfprompt.adaptations import make_adaptation
from selfprompt.adaptations.base import Adaptation
from selfprompt.adapters.format import find_adapter, read_adapter
from selfprompt.assembly import rebuilt
from selfprompt.backbones.load import BackboneSource
from selfprompt.errors import Diverged, UserError
from selfprompt.runs.streaming import OnError, answered
from selfprompt.scores.calibration import automatic
from selfprompt.scores.several import SEPARATOR, above
from selfprompt.tuning.engine import Engine


class Likely(TypedDict):
    """A class and how likely it is."""

    label: str
    probability: float


class Prediction(TypedDict):
    """An image's path or number, or a text, its class and how likely; ``error`` says why there is none.

    ``top`` has the likeliest classes, where more than one was asked for, whatever the threshold. Where an image may
    have several labels, ``labels`` has those whose probability is no less than their threshold, and ``label`` all of
    them in one text, or None; ``probabilities`` are those of all classes, by name, and ``probability`` is None.
    """

    image: NotRequired[str | int]
    text: NotRequired[str | list[str]]
    label: str | None
    probability: float | None
    top: NotRequired[list[Likely]]
    labels: NotRequired[list[str]]
    probabilities: NotRequired[dict[str, float]]
    error: NotRequired[str]


def predict(
    adapter: str | Path,
    images: Any,
    *,
    backbone: BackboneSource | None = None,
    class_names: Sequence[str] | None = None,
    on_error: OnError = "skip",
    adapt: str | Adaptation | None = None,
    top_k: int | None = None,
    threshold: float | str | None = None,
) -> list[Prediction]:
    """The likeliest class of each image, in the order given; images are read as they are needed.

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
        top_k: How many of the likeliest classes to give as ``top``, the first among them; 0 for all.
        threshold: Below this probability the label is None; several labels are given by it in the place of each
            class's own threshold. ``auto``, or ``auto:0.9``, is what validation says of that precision, 0.95 by
            default (see `selfprompt.scores.calibration.threshold`); of precisions that are not kept, such as
            0.93, the next higher one is taken.

    Returns:
        For each image ``image`` (its path, or its number from 0 where it has none), or for each text ``text``
        (itself, or both of a pair), ``label`` (a name where the adapter knows it) and ``probability``. Where it could
        not be read both are None, and ``error`` says why.

    Raises:
        UserError: These are no images, none can be read, or one cannot and ``on_error`` is ``stop``; there is no such
            adaptation, or it does not suit the adapter; the head knows no classes but its own, or there are fewer
            than two, or than ``top_k``; the threshold is no probability, or validation says none; or from `load`.
    """
    found = predict_each(
        adapter,
        images,
        backbone=backbone,
        class_names=class_names,
        on_error=on_error,
        adapt=adapt,
        top_k=top_k,
        threshold=threshold,
    )
    return list(found)


def predict_each(
    adapter: str | Path,
    images: Any,
    *,
    backbone: BackboneSource | None = None,
    class_names: Sequence[str] | None = None,
    on_error: OnError = "skip",
    adapt: str | Adaptation | None = None,
    top_k: int | None = None,
    threshold: float | str | None = None,
) -> Iterator[Prediction]:
    """What `predict` gives, one by one, each as it is found: memory does not grow with the number of images.

    Args and errors are those of `predict`; what is wrong with the images is raised where it shows.
    """
    if isinstance(threshold, (int, float)) and not 0 <= threshold <= 1:
        raise UserError(f"The threshold is {threshold}: give a probability, from 0 to 1.")
    adaptation = None if adapt is None else make_adaptation(adapt)
    folder = find_adapter(adapter)
    config, state = read_adapter(folder)  # what is refused for them waits for no backbone
    if config.protocol.multi_label and (top_k is not None or isinstance(threshold, str)):
        odd = "top_k" if top_k is not None else f"threshold {threshold}"
        raise UserError(f"Several labels have a threshold each, and all probabilities are given: leave {odd} out.")
    if isinstance(threshold, str):
        if odd := "other classes" if class_names is not None else "an adaptation" if adapt is not None else None:
            raise UserError(f"Validation says nothing of probabilities under {odd}: give the threshold as a number.")
        threshold = automatic(config.calibration, threshold, (config.metrics or {}).get("val_images"))
    others = None if class_names is None else several(class_names)
    num_classes = config.num_classes if others is None else len(others)
    if top_k is not None and not 0 <= top_k <= num_classes:
        raise UserError(f"top_k is {top_k}, and there are {num_classes} classes: give as many or fewer.")
    model = rebuilt(folder, config, state, backbone)
    if others is not None:
        model = model.for_classes(others)
    names = model.class_names or [str(i) for i in range(model.num_classes)]
    engine = Engine()
    engine.place(model)
    view, kind = model.protocol.view(), model.protocol.inputs
    network, rest = model, {}
    if adaptation is not None:
        network = adaptation.adapted(model)
        read = partial(view.views, variation=adaptation.variation)
        rest = {"read": read, "flat": True, "size": adaptation.batch_size}
    count = 1 if top_k is None else top_k or model.num_classes
    if model.multi_label:
        count = model.num_classes
    bounds = model.thresholds if threshold is None else [float(threshold)] * model.num_classes

    @torch.no_grad()
    def likeliest(inputs: Any) -> list[list[tuple[int, float]]]:
        with engine.autocast():
            logits = network(inputs).float()
        return ranked(logits, network.probabilities(logits), count)

    def each() -> Iterator[Prediction]:
        with ExitStack() as stack:
            with torch.no_grad():
                stack.enter_context(network.folded())
            stack.enter_context(engine.computing(model))
            for name, found in answered(images, view, kind, engine, likeliest, on_error=on_error, **rest):
                answer: Any = {kind: name, "label": None, "probability": None}
                if isinstance(found, UserError):
                    answer["error"] = str(found)
                elif model.multi_label:
                    answer |= labels_in(dict(sorted(found)), names, bounds)
                else:
                    top = [Likely(label=names[label], probability=value) for label, value in found]
                    answer |= top[0]
                    if top_k is not None:
                        answer["top"] = top
                    if threshold is not None and answer["probability"] < threshold:
                        answer["label"] = None
                yield answer

    return each()


def labels_in(probabilities: Mapping[int, float], names: Sequence[str], bounds: Sequence[float] | None) -> Any:
    """What a prediction holds of several labels, by each class's probability, in order."""
    values = np.array(list(probabilities.values()))
    given = [name for name, chosen in zip(names, above(values, bounds)) if chosen]
    label = SEPARATOR.join(given) or None
    return {"label": label, "labels": given, "probabilities": dict(zip(names, values.tolist()))}


def several(names: Sequence[str]) -> list[str]:
    """Names of classes, of which there are two or more.

    Raises:
        UserError: There are not.
    """
    if isinstance(names, str) or len(names) < 2:
        raise UserError(f"The class names are {names!r:.60}: give two or more, one for each class.")
    return list(names)


def ranked(logits: Tensor, probabilities: Tensor, count: int) -> list[list[tuple[int, float]]]:
    """The likeliest classes, which no temperature changes, and their probabilities, for each row of (B, C) scores.

    Raises:
        Diverged: One is NaN or infinite.
    """
    plain = logits.float().softmax(dim=-1)
    if not plain.isfinite().all():
        raise Diverged("The network's answers are NaN or infinite: train it with a smaller --lr.")
    one = count == 1
    label = plain.argmax(dim=-1, keepdim=True) if one else plain.sort(dim=-1, descending=True, stable=True).indices
    label = label[:, :count]
    return [list(zip(*row)) for row in zip(label.tolist(), probabilities.take_along_dim(label, dim=1).tolist())]
