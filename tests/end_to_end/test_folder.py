"""The commands together on a folder of mixed images, each a process of its own."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import selfprompt as sp
from conftest import write_image
from processes import done

pytestmark = pytest.mark.slow

METRICS = {"method", "backbone", "dataset", "protocol", "seed", "num_prompts", "best_epoch", "seconds"} | {
    *("trainable_parameters", "total_parameters", "val_accuracy", "test_accuracy", "peak_memory_bytes"),
}


def selfprompt(*arguments: object) -> dict:
    command = done(*arguments, "--json")
    assert command.returncode == 0, command.stderr
    return json.loads(command.stdout)


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """Three classes of plain images, and one each of grey, transparent, palette and EXIF-rotated ones."""
    for label, name in enumerate(("ant", "bee", "cow")):
        for index in range(16):
            write_image(tmp_path / "data" / name / f"{index}.png", label, index)
    base = Image.open(tmp_path / "data" / "ant" / "0.png")
    base.convert("L").save(tmp_path / "data" / "ant" / "grey.png")
    base.convert("RGBA").save(tmp_path / "data" / "ant" / "alpha.png")
    base.convert("P").save(tmp_path / "data" / "ant" / "palette.png")
    exif = base.getexif()
    exif[0x0112] = 3
    base.rotate(180).save(tmp_path / "data" / "ant" / "rotated.jpg", exif=exif)
    return tmp_path / "data"


def test_tune_evaluate_predict_and_load_work_together(mixed: Path, weights: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    metrics = selfprompt(
        *(
            "tune",
            mixed,
            "--backbone",
            weights,
            "--out",
            out,
            "--num-prompts",
            4,
            "--epochs",
            30,
            "--lr",
            0.02,
            "--head-norm",
            "batch",
        )
    )
    assert metrics.keys() >= METRICS
    assert metrics == json.loads((out / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["test_accuracy"] > 60
    assert 0 <= metrics["linear_probe_test_accuracy"] <= 100
    assert len((out / "log.jsonl").read_text(encoding="utf-8").splitlines()) == 30
    assert (out / "log.csv").read_text(encoding="utf-8").startswith("epoch,lr,train_loss,val_loss,val_accuracy\n")
    config = json.loads((out / "adapter_config.json").read_text(encoding="utf-8"))
    assert config["class_names"] == ["ant", "bee", "cow"]
    assert config["protocol"]["image_size"] == 32
    assert np.array(config["sources"]).shape == (3, 4, 2)
    assert "selfprompt" in (out / "README.md").read_text(encoding="utf-8")

    assert selfprompt("evaluate", out, mixed)["test_accuracy"] == metrics["test_accuracy"]
    assert sp.evaluate(out, str(mixed))["test_accuracy"] == metrics["test_accuracy"]
    files = sorted((mixed / "ant").glob("*"))
    predictions = selfprompt("predict", out, *files)["predictions"]
    assert [p["image"] for p in predictions] == [str(f) for f in files]
    assert all(p["label"] in ("ant", "bee", "cow") and 0 < p["probability"] <= 1 for p in predictions)
    told = {Path(p["image"]).name: p["probability"] for p in predictions}
    assert told["alpha.png"] == pytest.approx(told["0.png"], abs=1e-3)

    found = selfprompt("analyse", out, mixed, "--leave-one-out", "--images", 8)
    assert [row["epoch"] for row in found["training"]] == [*range(0, 30, 3), 30]
    assert len(found["prompts"]) == 12
    first = found["prompts"][0]
    assert first.keys() >= {"source", "nearest", "attention", "moved", "turned", "saliency", "leave_one_out"}
    assert first["moved"] > 0
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "selfprompt tune" in page
    (out / "report.html").unlink()
    assert selfprompt("report", out)["report"] == str(out / "report.html")
    assert (out / "report.html").read_text(encoding="utf-8") == page

    model = sp.load(out)
    pixels = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    with torch.no_grad():
        assert model(pixels).shape == (2, 3)


def test_a_run_within_its_own_data(mixed: Path, weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(mixed)
    (mixed / "ant" / "alpha.png").unlink()  # the same picture as 0.png
    short = ("--backbone", weights, "--num-prompts", 2, "--epochs", 1, "--no-probe")
    for more in ((), ("--out", "result")):
        selfprompt("tune", ".", *short, *more)
        assert selfprompt("doctor", ".")["classes"] == 3
    (run,) = (mixed / "runs").iterdir()
    assert run.name.startswith("data-spt-")
    monkeypatch.chdir(run)
    (run / "report.html").unlink()
    selfprompt("report", run)  # from another working directory


def test_listings_and_doctor(mixed: Path) -> None:
    assert selfprompt("list", "methods")["names"] == sp.list_methods()
    assert "vit_base_patch16_224.mae" in selfprompt("list", "backbones")["names"]
    assert {"digits", "elpv", "mnist5k"} <= set(selfprompt("list", "datasets")["names"])
    (mixed / "ant" / "alpha.png").unlink()  # the same picture as 0.png
    assert selfprompt("doctor", mixed)["problems"] == []
    assert selfprompt("doctor")["problems"] == []


def test_pretraining_gives_a_backbone(mixed: Path, tmp_path: Path) -> None:
    out = tmp_path / "small.safetensors"
    shape = ("--width", 32, "--depth", 2, "--heads", 2, "--decoder-width", 32, "--image-size", 16)
    summary = selfprompt("pretrain", mixed, "--out", out, *shape, "--images-seen", 640, "--batch-size", 32)
    assert summary["steps"] == 20
    assert summary["corpus_images"] == 52
    metrics = selfprompt("tune", mixed, "--backbone", out, "--epochs", 1, "--out", tmp_path / "run", "--no-probe")
    assert metrics["backbone"] == str(out)
    assert sp.create_model(out, "spt", num_classes=2).backbone.info.pretraining == "mae"
