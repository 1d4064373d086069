"""The linear probe as an adapter: its weights as a head, and when it is kept in the place of prompts."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import selfprompt as sp
from conftest import write_image
from selfprompt.adapters.format import read_adapter
from selfprompt.data.batches import Features
from selfprompt.heads.linear import LinearHead
from selfprompt.runs import outcome
from selfprompt.runs.config import RunConfig
from selfprompt.runs.probe import answered, give_weights, linear_probe
from selfprompt.runs.tune import tune
from selfprompt.scores.metrics import measured
from selfprompt.tuning import records
from selfprompt.tuning.answers import read_answers

WIDTH = 8


def features(labels: torch.Tensor, seed: int) -> Features:
    """Features that say something of their labels."""
    generator = torch.Generator().manual_seed(seed)
    rows = labels if labels.ndim == 2 else torch.nn.functional.one_hot(labels, 4)
    noise = torch.randn(len(labels), WIDTH, generator=generator)
    return Features(noise + 3 + 2 * torch.nn.functional.pad(rows.float(), (0, WIDTH - rows.shape[1])), labels)


def of(known: int, count: int = 60) -> torch.Tensor:
    """Labels of so many classes."""
    return torch.arange(count) % known


def several(seed: int) -> torch.Tensor:
    """Any of three labels, the last of which every example has."""
    found = torch.rand(60, 3, generator=torch.Generator().manual_seed(seed)) < 0.5
    found[:, 2] = True
    return found


@pytest.mark.parametrize(("known", "classes"), [(2, 2), (3, 3), (4, 4), (2, 4), (3, 4)])
def test_a_head_with_the_probes_weights_answers_as_the_probe(known: int, classes: int) -> None:
    train, val, test = (features(of(known), seed) for seed in range(3))
    probe = linear_probe(train, val)
    head = LinearHead(WIDTH, classes)
    give_weights(head, probe)
    with torch.no_grad():
        found = head(test.features).softmax(dim=-1).numpy()
    assert np.allclose(found[:, :known], probe.predict_proba(test.features.numpy()), atol=1e-5)
    assert (found[:, known:] == 0).all()
    assert (found.argmax(axis=1) == answered(probe, test)).all()


def test_with_several_labels_each_has_a_regression() -> None:
    train, val, test = (features(several(seed), seed) for seed in range(3))
    probe = linear_probe(train, val)
    head = LinearHead(WIDTH, 3)
    give_weights(head, probe)
    with torch.no_grad():
        found = head(test.features).sigmoid().numpy()
    assert np.allclose(found, answered(probe, test), atol=1e-5)
    assert (found[:, 2] == 1).all()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images of three classes, 48 each."""
    root = tmp_path_factory.mktemp("three")
    for index in range(144):
        write_image(root / "abc"[index % 3] / f"{index}.png", index % 3, index, size=32)
    return root


def configured(data: Path, weights: Path, rate: float, method: str = "auto", **rest) -> RunConfig:
    recipe = {"epochs": 2, "batch_size": 16, "lr": rate, "precision": "float32"}
    return RunConfig.resolve(str(data), str(weights), method, fields={"num_prompts": 2}, recipe=recipe, **rest)


@pytest.fixture(scope="module")
def probed(data: Path, weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose prompts learn nothing."""
    folder = tmp_path_factory.mktemp("probed") / "run"
    tune(configured(data, weights, 1e-9), folder)
    return folder


def test_the_probe_is_kept_where_validation_prefers_it(probed: Path, data: Path, weights: Path, tmp_path) -> None:
    prompts = tune(configured(data, weights, 1e-9, "spt"), tmp_path / "spt").metrics
    metrics, config = records.read_metrics(probed, records.Tested), read_adapter(probed)[0]
    assert metrics["method"] == config.method["name"] == "linear"
    assert metrics["method_fields"] == config.method
    assert metrics["test_accuracy"] == metrics["linear_probe_test_accuracy"]
    assert "instead_of" in metrics
    instead = metrics["instead_of"]
    assert instead == {
        "method": "spt",
        "val_score": prompts["val_accuracy"],
        "test_accuracy": pytest.approx(prompts["test_accuracy"]),
    }
    assert metrics["val_accuracy"] is not None
    assert metrics["val_accuracy"] > instead["val_score"]
    assert metrics["trainable_parameters"] == sp.load(probed).count_parameters()[0]
    assert "worth" in metrics
    assert "test_images" in prompts
    assert "worth" in prompts
    ours, neighbours = metrics["worth"]
    theirs, _ = prompts["worth"]
    assert ours["rival"] == "prompts of spt"
    assert ours["difference"] == pytest.approx(-theirs["difference"])
    assert ours["verdict"] == ("keep the linear probe" if ours["interval"][0] > 0 else theirs["verdict"])
    assert dict(ours)["rival_test_accuracy"] == pytest.approx(instead["test_accuracy"])
    assert "neighbour" in neighbours["rival"]
    kept = read_answers(probed)
    for part, accuracy in (("val", metrics["val_accuracy"]), ("test", metrics["test_accuracy"])):
        assert 100 * kept[part].right.mean() == pytest.approx(accuracy)
    assert config.metrics is not None
    assert config.metrics["test_accuracy"] == metrics["test_accuracy"]
    assert config.metrics["val_accuracy"] == metrics["val_accuracy"]


def test_what_is_kept_answers_as_the_run_did(probed: Path, data: Path, works) -> None:
    metrics, kept = records.read_metrics(probed, records.Tested), read_answers(probed)["test"]
    assert json.loads(works("evaluate", probed, data, "--json"))["test_accuracy"] == metrics["test_accuracy"]
    rows = sp.predict(probed, [data / name for name in kept.names])
    assert [row["label"] for row in rows] == ["abc"[label] for label in kept.predicted]
    assert json.loads(works("verify", probed, "--json"))["holds"]


def test_it_is_said(probed: Path, works) -> None:
    metrics = records.read_metrics(probed, records.Tested)
    said = records.choice(metrics)
    assert said is not None
    assert f"{metrics['val_accuracy']:.2f} %" in said
    works("report", probed)
    page = (probed / "report.html").read_text(encoding="utf-8")
    assert said[1:] in page.replace("&#39;", "'")
    assert "prompts of spt" in page
    again = works("tune", "--resume", probed)
    assert said in again
    assert "--method spt" in again


def test_prompts_are_kept_where_they_are_no_worse(data: Path, weights: Path, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(outcome, "validated_score", lambda model, answers: 50.0)
    metrics = tune(configured(data, weights, 1e-9), tmp_path / "run").metrics
    assert metrics["method"] == read_adapter(tmp_path / "run")[0].method["name"] == "spt"
    assert "instead_of" not in metrics
    assert metrics["test_accuracy"] != dict(metrics)["linear_probe_test_accuracy"]


def test_who_names_a_method_or_no_probe_gets_it(data: Path, weights: Path) -> None:
    assert configured(data, weights, 1e-9).or_probe
    assert not configured(data, weights, 1e-9, "spt").or_probe
    assert not configured(data, weights, 1e-9, probe=False).or_probe
    assert configured(data, weights, 1e-9).method.name == "spt"


def test_validation_is_scored_by_the_runs_metric(data: Path, weights: Path, tmp_path: Path) -> None:
    config = configured(data, weights, 1e-9, protocol={"metric": "macro_f1"})
    metrics = tune(config, tmp_path / "run").metrics
    assert "instead_of" in metrics
    val = read_answers(tmp_path / "run")["val"]
    assert metrics["val_score"] == pytest.approx(measured("macro_f1", val.probabilities, val.labels)[0])
    assert metrics["val_score"] > metrics["instead_of"]["val_score"]


def test_the_packaged_backbone_has_its_settings_on_any_data(data: Path) -> None:
    found, own = (RunConfig.resolve(str(data), "builtin", method) for method in ("auto", "spt"))
    embedded = RunConfig.resolve(None, "builtin", "spt")
    assert (found.recipe, found.method) == (embedded.recipe, embedded.method)
    assert own.recipe.epochs == 100
    assert found.protocol == own.protocol
