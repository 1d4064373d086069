"""Accuracy of a saved adapter."""

from __future__ import annotations

import json
import re
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, ValidationError

from selfprompt.backbones.load import load_backbone
from selfprompt.data.batches import Decoded
from selfprompt.data.datasets import with_splits
from selfprompt.data.protocol import AnyProtocol, protocol_for
from selfprompt.data.recorded import NAME as SPLIT_NAME
from selfprompt.data.recorded import SPLITS, image_names, splits_for
from selfprompt.data.sources import load_dataset, load_located, locate
from selfprompt.errors import UserError, out_of_range, unknown
from selfprompt.files import claimed, must_be_utf8, read_as, replace_file, unused
from selfprompt.methods import from_description, make_method, read_spec, record_of
from selfprompt.methods.base import Method
from selfprompt.methods.recipe import Recipe
from selfprompt.model import build, load
from selfprompt.tuning.checkpoint import same_run, settings_of
from selfprompt.tuning.engine import Engine, checked_trackers
from selfprompt.tuning.evaluation import answers, evaluate_network
from selfprompt.tuning.fit import Result, fit
from selfprompt.tuning.loop import OnStep
from selfprompt.runs.probe import linear_probe
from selfprompt.tuning.records import read_history, read_metrics, write_metrics, write_predictions



def evaluate(adapter: str | Path, data: str, *, split: str = "test", backbone: Any = None) -> dict[str, Any]:
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
    with model.insertion.folded(model.backbone), engine.computing(model), engine.autocast():
        accuracy, loss = evaluate_network(model, images, engine, 64)
    return {
        "adapter": str(adapter),
        "dataset": dataset.name,
        "split": split,
        "images": len(examples),
        f"{split}_accuracy": accuracy,
        f"{split}_loss": loss,
        "protocol": model.protocol.hash,
        "precision": engine.precision,
    }
