"""What a run keeps of its answers, and what its temperature changes: probabilities, and nothing else."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch

import selfprompt as sp
from conftest import write_image
from selfprompt.data.sources import load_dataset
from selfprompt.errors import UserError
from selfprompt.runs.config import RunConfig
from selfprompt.runs.tune import tune
from selfprompt.scores.calibration import tempered
from selfprompt.serving.export import export
from selfprompt.tuning import records
from selfprompt.tuning.answers import read_answers


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """330 images of three classes, every sixth in the folder of another class."""
    root = tmp_path_factory.mktemp("noisy")
    for index in range(330):
        folder = "abc"[(index + (index % 6 == 0)) % 3]
        write_image(root / folder / f"{index}.png", index % 3, index, size=32)
    return root


def configured(data: Path, weights: Path, **rest) -> RunConfig:
    recipe = {"epochs": 4, "batch_size": 32, "lr": 3e-2, "head_lr": 1e-1, "precision": "float32"}
    return RunConfig.resolve(str(data), str(weights), "vpt", fields={"num_prompts": 2}, recipe=recipe, **rest)


@pytest.fixture(scope="module")
def tested(data: Path, weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tested") / "run"
    tune(configured(data, weights), folder)
    return folder


@pytest.fixture
def images(data: Path, tested: Path) -> torch.Tensor:
    """The test images, as uint8."""
    model, dataset = sp.load(tested), load_dataset(str(data))
    test = sp.with_splits(dataset, model.protocol).test
    return torch.from_numpy(np.stack([model.protocol.view().read(image) for image in test.images]))


def test_answers_are_kept_as_the_model_gives_them(tested: Path, images: torch.Tensor) -> None:
    kept, metrics = read_answers(tested), records.read_metrics(tested, records.Tested)
    assert kept.keys() == {"val", "test"}
    assert kept["val"].probabilities.dtype == np.float32
    assert 100 * kept["val"].right.mean() == pytest.approx(metrics["val_accuracy"])
    assert 100 * kept["test"].right.mean() == pytest.approx(metrics["test_accuracy"])
    with torch.no_grad():
        answers = sp.load(tested)(images).softmax(dim=-1).numpy()
    assert np.allclose(kept["test"].probabilities, answers, atol=1e-5)
    assert kept["test"].names == json.loads((tested / "split.json").read_text(encoding="utf-8"))["test_files"]


def test_the_temperature_is_in_every_probability_and_in_no_answer(tested: Path, data: Path, images, tmp_path) -> None:
    model, kept = sp.load(tested), read_answers(tested)["test"]
    assert model.temperature == records.read_metrics(tested, records.Tested).get("temperature")
    assert abs(model.temperature - 1) > 0.02
    expected = tempered(kept.probabilities, model.temperature)
    with (tested / "predictions.csv").open(encoding="utf-8", newline="") as file:
        rows = [*csv.DictReader(file)]
    predicted = sp.predict(tested, [data / name for name in kept.names])
    with torch.no_grad():
        logits = model(images)
    assert np.allclose(model.probabilities(logits), expected, atol=1e-5)
    for i, (row, one) in enumerate(zip(rows, predicted, strict=True)):
        assert row["predicted"] == one["label"] == "abc"[kept.predicted[i]]
        assert float(row["probability"]) == pytest.approx(one["probability"], abs=1e-4)
        assert one["probability"] == pytest.approx(expected[i].max(), abs=1e-5)

    pool = sp.AdapterPool(model.source)
    pool.add("noisy", tested)
    for i, (label, probability) in enumerate(pool.predict(images[:9], "noisy")):
        assert (label, probability) == (predicted[i]["label"], pytest.approx(expected[i].max(), abs=1e-4))
    export(tested, tmp_path / "model.pt2")
    program = torch.export.load(tmp_path / "model.pt2").module()
    assert np.allclose(program(images[:9]).softmax(dim=-1).detach(), expected[:9], atol=1e-4)


def test_evaluation_says_what_the_run_said(tested: Path, data: Path, works) -> None:
    found = json.loads(works("evaluate", tested, data, "--json"))
    metrics = records.read_metrics(tested, records.Tested)
    assert found["test_accuracy"] == metrics["test_accuracy"]
    assert found["temperature"] == metrics.get("temperature")
    assert found["scores"].keys() == metrics["scores"].keys()
    assert found["scores"]["per_class"] == metrics["scores"]["per_class"]
    assert found["scores"]["ece"] == pytest.approx(dict(metrics["scores"])["ece"], abs=1e-3)
    said = works("evaluate", tested, data)
    assert "macro-F1" in said
    assert "without the temperature" in said


def test_page_card_and_console_show_them(tested: Path, works) -> None:
    metrics = records.read_metrics(tested, records.Tested)
    works("report", tested)
    page = (tested / "report.html").read_text(encoding="utf-8")
    card = (tested / "README.md").read_text(encoding="utf-8")
    for shown in ("Worth it?", "recall, %", "accuracy over probability", metrics["worth"][0]["verdict"]):
        assert shown in page
    assert "macro" in card
    assert f"{metrics['temperature']:.3f}" in card
    assert metrics["worth"][0]["rival_test_accuracy"] == metrics["linear_probe_test_accuracy"]
    assert "neighbour" in metrics["worth"][1]["rival"]


def test_weights_that_change_have_no_temperature(tested: Path, data: Path, tmp_path: Path) -> None:
    model = sp.load(tested)
    assert model.calibration is not None
    train = sp.with_splits(load_dataset(str(data)), model.protocol).train
    sp.fit(model, train, None, recipe=sp.Recipe(epochs=1, precision="float32"), output_dir=tmp_path / "more")
    assert model.temperature == sp.load(tmp_path / "more").temperature == 1
    config = json.loads((tmp_path / "more" / "adapter_config.json").read_text(encoding="utf-8"))
    assert "calibration" not in config  # as adapters were before there was one


@pytest.mark.parametrize("whole", [False, True])
def test_without_enough_validation_it_is_said(whole: bool, folder: Path, weights: Path, tmp_path: Path) -> None:
    config = configured(folder, weights).model_copy(update={"whole": whole})
    tune(config, tmp_path / "run")
    metrics = records.read_metrics(tmp_path / "run", records.Tested)
    assert ("trained on" if whole else "too few") in metrics["uncalibrated"]
    assert "temperature" not in metrics
    assert read_answers(tmp_path / "run").keys() == ({"test"} if whole else {"val", "test"})
    assert len(metrics["worth"]) == 2
    assert sp.load(tmp_path / "run").temperature == 1


def test_a_damaged_file_of_answers_is_said(run: Path) -> None:
    path = run / "probabilities.safetensors"
    assert read_answers(run)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(sp.UserError, match=r"probabilities\.safetensors is damaged"):
        read_answers(run)
    path.unlink()
    assert read_answers(run) == {}


def test_a_threshold_is_what_validation_says_of_a_precision(
    tested: Path, images: torch.Tensor, tmp_path: Path, fails
) -> None:
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        (tmp_path / name).write_bytes((tested / name).read_bytes())
    config = json.loads((tmp_path / "adapter_config.json").read_text(encoding="utf-8"))
    known = [{"precision": 0.9, "threshold": 0.7, "coverage": 0.5}]
    config["calibration"] = {"temperature": 1.5, "examples": 80, "thresholds": known}
    (tmp_path / "adapter_config.json").write_text(json.dumps(config), encoding="utf-8")
    given = list(images)
    kept = sp.predict(tmp_path, given, threshold="auto:0.9")
    assert kept == sp.predict(tmp_path, given, threshold=0.7) == sp.predict(tmp_path, given, threshold="auto:0.85")
    assert {None} < {p["label"] for p in kept}
    with pytest.raises(
        UserError, match=r"no threshold for a precision of 0\.95 \(it takes 73 that are right, and there are 80 "
    ):
        sp.predict(tmp_path, given, threshold="auto")
    with pytest.raises(UserError, match="'automatic'"):
        sp.predict(tmp_path, given, threshold="automatic")
    with pytest.raises(UserError, match="says nothing of probabilities under an adaptation"):
        sp.predict(tmp_path, given, threshold="auto:0.9", adapt="averaging")
    assert "--threshold auto:x is not valid" in fails("predict", tmp_path, tmp_path, "--threshold", "auto:x")


def test_rivals_are_chosen_and_judged_by_the_runs_metric(data: Path, weights: Path, tmp_path: Path, works) -> None:
    tune(configured(data, weights, protocol={"metric": "macro_f1"}), tmp_path / "run")
    found = records.read_metrics(tmp_path / "run", records.Tested)
    for row in found["worth"]:
        assert row["difference"] == pytest.approx(dict(found["scores"])["macro_f1"] - row["rival_test_macro_f1"])
    assert found["worth"][0]["rival_test_accuracy"] == found["linear_probe_test_accuracy"]
    works("report", tmp_path / "run")
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "in percentage points of the macro-F1" in page
    assert f"{found['worth'][0]['rival_test_macro_f1']:.1f} %" in page
