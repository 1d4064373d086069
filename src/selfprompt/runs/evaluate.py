"""Accuracy of a saved adapter."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from typing_extensions import NotRequired, TypedDict

from selfprompt.adaptations import make_adaptation
from selfprompt.adaptations.base import Adaptation
from selfprompt.backbones.load import BackboneSource
from selfprompt.data.batches import Decoded, Viewed
from selfprompt.data.recorded import SPLITS, splits_for
from selfprompt.data.sources import load_dataset
from selfprompt.errors import UserError, unknown
from selfprompt.model import load
from selfprompt.tuning.engine import Engine
from selfprompt.tuning.evaluation import evaluate_network

Split = Literal["train", "val", "test"]


class Evaluation(TypedDict):
    """Accuracy in percent and mean cross-entropy on the one split that was asked for; ``adapted`` says by what."""

    adapter: str
    dataset: str
    split: str
    images: int
    train_accuracy: NotRequired[float]
    val_accuracy: NotRequired[float]
    test_accuracy: NotRequired[float]
    train_loss: NotRequired[float]
    val_loss: NotRequired[float]
    test_loss: NotRequired[float]
    protocol: str
    precision: str
    adapted: NotRequired[Any]


def evaluate(
    adapter: str | Path,
    data: str,
    *,
    split: Split = "test",
    backbone: BackboneSource | None = None,
    adapt: str | Adaptation | None = None,
) -> Evaluation:
    """Accuracy of a saved adapter on a data set, under the protocol that the adapter was trained with.

    Args:
        adapter: Its folder or hub repository.
        data: What `load_dataset` takes; its classes must be the adapter's.
        split: ``test``, ``val`` or ``train``, as the adapter's run recorded it; where it did not, cut as in training.
        backbone: The backbone, if it is no longer where it was.
        adapt: What is done for each image by itself, such as ``tpt`` or ``tpt:views=32`` (see `list_adaptations`).

    Raises:
        UserError: There is no such split or adaptation, the classes differ, the adapter or data cannot be loaded, or
            the adaptation does not suit the adapter.
    """
    if split not in SPLITS:
        raise unknown("split", split, SPLITS)
    adaptation = None if adapt is None else make_adaptation(adapt)
    model = load(adapter, backbone)
    dataset = load_dataset(data)
    if model.class_names is not None and list(dataset.class_names) != model.class_names:
        odd = sorted(set(dataset.class_names) ^ set(model.class_names)) or ["their order"]
        raise UserError(f"{data} has other classes than {adapter}: {odd[0]} differs.")
    examples = getattr(splits_for(dataset, model.protocol, Path(adapter), whole=False), split)
    if not len(examples):
        raise UserError(f"{data} has none of the {split} images of the run in {adapter}: restore them.")
    engine = Engine()
    engine.place(model)
    if adaptation is None:
        network, images, size = model, Decoded(examples, model.protocol), 64
    else:
        network, images = adaptation.adapted(model), Viewed(examples, model.protocol, adaptation.variation)
        size = adaptation.batch_size
    with network.folded(), engine.computing(model):
        accuracy, loss = evaluate_network(network, images, engine, size)
    made = Evaluation(
        adapter=str(adapter),
        dataset=dataset.name,
        split=split,
        images=len(examples),
        **{f"{split}_accuracy": accuracy, f"{split}_loss": loss},
        protocol=model.protocol.hash,
        precision=engine.precision,
    )
    if adaptation is not None:
        made["adapted"] = adaptation.describe()
    return made
