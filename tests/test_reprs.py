"""What is printed of data, models and results: one short line each, without pixels, paths of images or weights."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

import selfprompt as sp
from conftest import make_backbone


@pytest.mark.parametrize("name", ["mnist5k", "wordnet-mini", "folder"])
def test_data_are_a_line(name: str, folder: Path) -> None:
    dataset = sp.load_dataset(folder if name == "folder" else name)
    splits = sp.with_splits(dataset, sp.Protocol())
    for shown in map(repr, (dataset, splits, dataset.train, [dataset.train, splits.val])):
        assert len(shown) < 120
        assert "array" not in shown
        assert ".png" not in shown
    assert dataset.name in repr(dataset)
    assert f"{dataset.num_classes:,} classes" in repr(dataset)
    assert f"{len(dataset.train):,} train" in repr(dataset)
    assert repr(sp.Examples([np.zeros((2, 2), np.uint8)] * 3)) == "Examples(3, no labels)"


@pytest.mark.parametrize("method", ["spt", "linear"])
def test_a_model_and_its_result_are_a_line(method: str, folder: Path) -> None:
    model = sp.create_model(make_backbone(), method, num_classes=3)
    assert repr(model).startswith(f"PromptedModel({method} on tiny: 3 classes")
    assert f"{model.count_parameters()[0]:,} of " in repr(model)
    assert len(repr(model)) < 160
    splits = sp.with_splits(sp.load_dataset(folder), model.protocol)
    result = sp.fit(model, splits.train, splits.val, recipe=sp.Recipe(epochs=1, batch_size=8))
    accuracy = f"{result.metrics['val_accuracy']:.2f} %"
    assert repr(result).startswith(f"Result({method} on ")
    assert f"val accuracy {accuracy}, best epoch 1 of 1" in repr(result)
    assert f"<th>val accuracy</th><td>{accuracy}</td>" in result._repr_html_()
    odd = dataclasses.replace(result, metrics={**result.metrics, "dataset": "<b>"})
    assert "&lt;b&gt;" in odd._repr_html_()
    assert "<b>" not in odd._repr_html_()
