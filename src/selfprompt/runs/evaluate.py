"""Accuracy of a saved adapter."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from typing_extensions import NotRequired, TypedDict

from selfprompt.backbones.load import BackboneSource
from selfprompt.data.batches import Decoded
from selfprompt.data.recorded import SPLITS, splits_for
from selfprompt.data.sources import load_dataset
from selfprompt.errors import UserError, unknown
from selfprompt.model import load
from selfprompt.tuning.engine import Engine
from selfprompt.tuning.evaluation import evaluate_network

Split = Literal["train", "val", "test"]


class Evaluation(TypedDict):
    """Accuracy in percent and mean cross-entropy on the one split that was asked for."""

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


def evaluate(
    adapter: str | Path,
    data: str,
    *,
    split: Split = "test",
    backbone: BackboneSource | None = None,
) -> Evaluation:
    """Accuracy of a saved adapter on a data set, under the protocol that the adapter was trained with.

    Args:
        adapter: Its folder or hub repository.
        data: What `load_dataset` takes; its classes must be the adapter's.
        split: ``test``, ``val`` or ``train``, as the adapter's run recorded it; where it did not, cut as in training.
        backbone: The backbone, if it is no longer where it was.

    Raises:
        UserError: There is no such split, the classes differ, or the adapter or data cannot be loaded.
    """
    if split not in SPLITS:
        raise unknown("split", split, SPLITS)
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
    images = Decoded(examples, model.protocol)
    with model.folded(), engine.computing(model):
        accuracy, loss = evaluate_network(model, images, engine, 64)
    return Evaluation(
        adapter=str(adapter),
        dataset=dataset.name,
        split=split,
        images=len(examples),
        **{f"{split}_accuracy": accuracy, f"{split}_loss": loss},
        protocol=model.protocol.hash,
        precision=engine.precision,
    )
