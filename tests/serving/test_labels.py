"""A server of an adapter whose images may have several labels beside one of one label."""

from __future__ import annotations

import base64
from pathlib import Path

import numpy as np
import pytest
import torch

import selfprompt as sp
from conftest import make_backbone
from selfprompt.adapters.format import glance
from selfprompt.errors import UserError
from selfprompt.model import PromptedModel
from selfprompt.serving.browser import export_page
from tiny_server import NAMES, client_of, form, make_pool, picture, save_adapters

CLASSES = ["a", "b", "c"]
THRESHOLDS = [0.2, 0.5, 0.999]
IMAGES = [picture(i) for i in range(4)]


@pytest.fixture
def paths(tmp_path: Path) -> dict[str, Path]:
    model = sp.create_model(make_backbone(), "vpt", class_names=CLASSES, num_prompts=2)
    model.initialize()
    with torch.no_grad():
        model.head.linear.weight.normal_(std=0.5, generator=torch.Generator().manual_seed(0))
    model.protocol = model.protocol.model_copy(update={"multi_label": True, "metric": "map"})
    model.thresholds = THRESHOLDS
    model.save_pretrained(tmp_path / "several")
    return {**save_adapters(tmp_path), "several": tmp_path / "several"}


def test_a_server_gives_the_labels_above_their_thresholds(paths: dict[str, Path]) -> None:
    known = sp.predict(paths["several"], IMAGES, backbone=make_backbone())
    logits = []
    with client_of(make_pool(paths)) as client:
        found = client.post("/v1/predict?adapter=several&top_k=3", files=form(*IMAGES)).json()["predictions"]
        one = client.post("/v1/predict?adapter=birds", files=form(*IMAGES)).json()["predictions"]
        content = [base64.b64encode(image).decode() for image in IMAGES]
        given = {"name": "images", "datatype": "BYTES", "shape": [len(IMAGES)], "data": content}
        v2 = client.post("/v2/models/several/infer", json={"inputs": [given]}).json()["outputs"]
    assert all(row["label"] in NAMES["birds"][1] and "labels" not in row for row in one)
    for row, said in zip(found, known, strict=True):
        probabilities = said.get("probabilities", {})
        assert row["labels"] == said.get("labels")
        assert row["labels"] == [c for c, t in zip(CLASSES, THRESHOLDS) if probabilities[c] >= t]
        assert {g["label"]: pytest.approx(g["probability"], abs=1e-5) for g in row["top"]} == probabilities
        logits.append(list(probabilities.values()))
    assert any(len(row["labels"]) != 1 for row in found)
    assert v2[1]["data"] == [said["label"] or "" for said in known]
    assert np.allclose(np.reshape(v2[0]["data"], (-1, 3)), logits, atol=1e-5)


def test_an_adapter_keeps_its_kind_and_thresholds(paths: dict[str, Path], tmp_path: Path) -> None:
    model = sp.load(paths["several"], make_backbone())
    assert isinstance(model, PromptedModel)
    assert (model.multi_label, model.thresholds) == (True, THRESHOLDS)
    assert torch.equal(model.probabilities(torch.zeros(1, 3)), torch.full((1, 3), 0.5))
    assert glance(paths["several"]) == ("image", CLASSES, True)
    assert "thresholds" not in (paths["birds"] / "adapter_config.json").read_text(encoding="utf-8")
    for name in ("ort.wasm.min.js", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(UserError, match="page names one class"):
        export_page(model, tmp_path / "page", tmp_path)
