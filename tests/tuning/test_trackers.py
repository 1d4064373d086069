"""Trackers get settings, every epoch and the test; one that cannot be used is refused before anything is done."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from accelerate.tracking import TensorBoardTracker

from conftest import make_backbone
from selfprompt.assembly import create_model
from selfprompt.data.datasets import Examples
from selfprompt.errors import UserError
from selfprompt.methods.recipe import Recipe
from selfprompt.runs.config import RunConfig
from selfprompt.runs.tune import tune
from selfprompt.tuning import engine
from selfprompt.tuning.fit import fit


def examples(count: int = 12) -> Examples:
    pixels = np.random.default_rng(0).integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
    return Examples(list(pixels), np.arange(count) % 3)


def model():
    return create_model(make_backbone(), "spt", num_classes=3, num_prompts=4)


def written(folder: Path) -> tuple[dict[str, list[float]], dict[str, object]]:
    """The scalars of a run, and the settings of its session."""
    reading = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    scalars: dict[str, list[float]] = {}
    settings: dict[str, object] = {}
    for file in folder.rglob("events.out.tfevents*"):
        events = reading.EventAccumulator(str(file))
        events.Reload()
        scalars |= {tag: [e.value for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}
        for contents in events.summary_metadata.values():
            if contents.plugin_data.plugin_name == "hparams":
                data = HParamsPluginData.FromString(contents.plugin_data.content)
                for name, value in data.session_start_info.hparams.items():
                    settings[name] = getattr(value, value.WhichOneof("kind"))
    return scalars, settings


def test_tensorboard_gets_settings_rows_test_and_probe(folder: Path, weights: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    more = {"fields": {"num_prompts": 3}, "recipe": {"epochs": 2, "batch_size": 4, "lr": 0.5}, "seed": 3}
    config = RunConfig.resolve(str(folder), str(weights), "spt", trackers=("tensorboard",), **more)
    metrics = tune(config, tmp_path / "run").metrics
    assert "linear_probe_test_accuracy" in metrics
    scalars, settings = written(tmp_path / "run")
    assert {tag: len(values) for tag, values in scalars.items()} == {
        **dict.fromkeys(("lr", "train_loss", "val_loss", "val_accuracy"), 2),
        **dict.fromkeys(("test_accuracy", "linear_probe_test_accuracy"), 1),
    }
    assert scalars["test_accuracy"] == pytest.approx([metrics["test_accuracy"]])
    assert scalars["linear_probe_test_accuracy"] == pytest.approx([metrics["linear_probe_test_accuracy"]])
    wanted = {"method.name": "spt", "method.num_prompts": 3, "recipe.lr": 0.5, "recipe.epochs": 2, "seed": 3}
    wanted |= {"protocol.hash": config.protocol.hash, "dataset": "data", "backbone": str(weights)}
    assert {name: settings[name] for name in wanted} == wanted
    assert settings["precision"] == metrics["precision"]


def test_fit_takes_one_name(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    fit(model(), examples(), examples(), recipe=Recipe(epochs=2), output_dir=tmp_path, trackers="tensorboard")
    scalars, settings = written(tmp_path)
    assert len(scalars["val_accuracy"]) == 2
    assert settings["method.name"] == "spt"


def test_a_tracker_that_cannot_be_used_is_refused_first(folder: Path, weights: Path, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(engine, "get_available_trackers", lambda: ["tensorboard"])
    for name, sentence in (
        ("wandb", "Tracker wandb needs a package: pip install wandb"),
        ("comet_ml", "pip install comet-ml"),
        ("tensorbord", "no tracker named 'tensorbord': did you mean tensorboard"),
    ):
        with pytest.raises(UserError, match=sentence):
            fit(model(), examples(), examples(), trackers=("tensorboard", name), output_dir=tmp_path / "fit")
        config = RunConfig.resolve(str(folder), str(weights)).model_copy(update={"trackers": (name,)})
        with pytest.raises(UserError, match=sentence):
            tune(config, tmp_path / "run")
    with pytest.raises(UserError, match="tensorboard writes files: give an output_dir"):
        fit(model(), examples(), examples(), trackers="tensorboard")
    assert not (tmp_path / "fit").exists()
    assert not (tmp_path / "run").exists()


def test_a_tracker_that_does_not_start_is_one_sentence(tmp_path: Path, monkeypatch) -> None:
    def start(self: object) -> None:
        raise RuntimeError("no login\nand more")

    monkeypatch.setattr(engine, "get_available_trackers", lambda: ["tensorboard"])
    monkeypatch.setattr(TensorBoardTracker, "start", start)
    with pytest.raises(UserError, match=r"tensorboard cannot be started \(no login\)"):
        fit(model(), examples(), examples(), trackers="tensorboard", output_dir=tmp_path)
