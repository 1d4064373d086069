"""What the server answers is what the library answers offline, whoever asks beside."""

from __future__ import annotations

import base64
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fastapi.testclient import TestClient

import selfprompt as sp
from conftest import make_backbone
from selfprompt.data.images import read_image
from selfprompt.data.views.image import prepare_image
from selfprompt.scores.calibration import Calibration, Threshold
from tiny_server import NAMES, client_of, form, make_pool, picture, save_adapters

IMAGES = [picture(i, kind) for i, kind in enumerate(["PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF"])]


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return save_adapters(tmp_path_factory.mktemp("adapters"))


@pytest.fixture(scope="module")
def client(paths: dict[str, Path]) -> Any:
    with client_of(make_pool(paths), max_wait_ms=20) as client:
        yield client


@pytest.fixture(scope="module")
def offline(paths: dict[str, Path]) -> dict[str, torch.Tensor]:
    """Probabilities (N, C) of each adapter, from the library's own prediction."""
    found = {}
    for name, path in paths.items():
        model = sp.load(path, make_backbone())
        pixels = [prepare_image(read_image(image), model.protocol) for image in IMAGES]
        with torch.no_grad():
            found[name] = model(torch.from_numpy(np.stack(pixels))).softmax(-1)
        predicted = sp.predict(path, IMAGES, backbone=make_backbone())
        assert [p["probability"] for p in predicted] == pytest.approx(found[name].amax(1).tolist(), abs=1e-6)
    return found


def close(found: list[float], expected: torch.Tensor) -> bool:
    return np.allclose(found, expected.numpy(), atol=1e-5)


def test_v1_answers_as_the_library_does(client: TestClient, offline: dict[str, torch.Tensor]) -> None:
    for name, expected in offline.items():
        found = client.post(f"/v1/predict?adapter={name}&top_k=9", files=form(*IMAGES)).json()
        assert (found["adapter"], len(found["version"])) == (name, 64)
        for prediction, row in zip(found["predictions"], expected, strict=True):
            order = row.argsort(descending=True)
            assert [guess["label"] for guess in prediction["top"]] == [NAMES[name][1][i] for i in order]
            assert close([guess["probability"] for guess in prediction["top"]], row[order])
        raw = client.post(f"/v1/predict?adapter={name}", content=IMAGES[0], headers={"content-type": "image/png"})
        first = found["predictions"][0]
        (alone,) = raw.json()["predictions"]
        assert (alone["label"], alone["image"]) == (first["label"], 0)
        assert alone["probability"] == pytest.approx(first["probability"], abs=1e-5)


def test_mixed_batches_answer_each_of_its_own(client: TestClient, offline: dict[str, torch.Tensor]) -> None:
    asked = [(name, i) for i in range(len(IMAGES)) for name in offline] * 3

    def ask(pair: tuple[str, int]) -> list[float]:
        answer = client.post(f"/v1/predict?adapter={pair[0]}&top_k=9", files=form(IMAGES[pair[1]])).json()
        top = {guess["label"]: guess["probability"] for guess in answer["predictions"][0]["top"]}
        return [top[name] for name in NAMES[pair[0]][1]]

    with ThreadPoolExecutor(16) as threads:
        answers = list(threads.map(ask, asked))
    assert all(close(found, offline[name][i]) for (name, i), found in zip(asked, answers, strict=True))
    metrics = client.get("/metrics").text
    mixed = float(metrics.split('selfprompt_batch_adapters_bucket{le="1.0"} ')[1].split()[0])
    passes = float(metrics.split("selfprompt_batch_adapters_count ")[1].split()[0])
    assert mixed < passes  # some had several adapters


def test_below_the_threshold_there_is_no_label(client: TestClient, offline: dict[str, torch.Tensor]) -> None:
    threshold = float(offline["birds"].amax(1).median())
    found = client.post(f"/v1/predict?adapter=birds&threshold={threshold}", files=form(*IMAGES)).json()["predictions"]
    assert 0 < sum(p["abstained"] for p in found) < len(found)
    for prediction in found:
        assert (prediction["label"] is None) == prediction["abstained"] == (prediction["probability"] < threshold)


def test_a_threshold_by_validation_is_that_of_predict(tmp_path: Path) -> None:
    name = min(NAMES)
    model = sp.load(save_adapters(tmp_path / "plain")[name], make_backbone())
    known = Threshold(precision=0.9, threshold=0.25, coverage=0.5)
    model.calibration = Calibration(temperature=2.0, examples=100, thresholds=[known])
    model.save_pretrained(tmp_path / "known")
    predicted = sp.predict(tmp_path / "known", IMAGES, backbone=make_backbone(), threshold="auto:0.9")
    with client_of(make_pool({"known": tmp_path / "known"})) as client:
        found = client.post("/v1/predict?threshold=auto:0.9", files=form(*IMAGES)).json()["predictions"]
        assert [p["label"] for p in found] == [p["label"] for p in predicted]
        for asked, status in (("auto", 400), ("auto:0.99", 400), ("auto:1", 422), ("automatic", 422), ("2", 422)):
            assert client.post(f"/v1/predict?threshold={asked}", files=form(IMAGES[0])).status_code == status


def test_embeddings_are_the_features(client: TestClient, paths: dict[str, Path]) -> None:
    model = sp.load(paths["cars"], make_backbone())
    pixels = torch.from_numpy(np.stack([prepare_image(read_image(image), model.protocol) for image in IMAGES]))
    with torch.no_grad():
        frozen = sp.create_model(make_backbone(), "linear", num_classes=2).features(pixels)
        expected = {"cars": model.features(pixels), None: frozen}
    for name, features in expected.items():
        found = client.post("/v1/embed", params={"adapter": name} if name else {}, files=form(*IMAGES)).json()
        assert found["adapter"] == name
        for one, row in zip(found["embeddings"], features, strict=True):
            assert close(one["embedding"], row)


def test_a_bad_image_fails_alone(client: TestClient) -> None:
    bad = IMAGES[0][:60]
    found = client.post("/v1/predict?adapter=birds", files=form(IMAGES[0], bad, IMAGES[1])).json()["predictions"]
    assert [p["label"] is None for p in found] == [False, True, False]
    assert found[1]["error"]
    answer = client.post("/v1/predict?adapter=birds", files=form(bad, bad))
    assert (answer.status_code, answer.json()["error"][:20]) == (400, "None of 2 images can")


def test_the_list_says_what_there_is(client: TestClient, paths: dict[str, Path]) -> None:
    found = {one["id"]: one for one in client.get("/v1/models").json()["data"]}
    assert list(found) == list(paths)
    for name, one in found.items():
        assert (one["classes"], one["protocol"]) == (
            NAMES[name][1],
            sp.load(paths[name], make_backbone()).protocol.hash,
        )


def test_infer_takes_files_and_pixels(client: TestClient, offline: dict[str, torch.Tensor]) -> None:
    protocol = sp.create_model(make_backbone(), "linear", num_classes=2).protocol
    pixels = np.stack([prepare_image(read_image(image), protocol) for image in IMAGES])
    files = [base64.b64encode(image).decode() for image in IMAGES]
    count = len(IMAGES)
    for tensor in (
        {"datatype": "BYTES", "shape": [count], "parameters": {"content_type": "base64"}, "data": files},
        {"datatype": "UINT8", "shape": list(pixels.shape), "data": pixels.tolist()},
        {"datatype": "UINT8", "shape": list(pixels.shape), "data": pixels.ravel().tolist()},
    ):
        body = {"id": "7", "inputs": [{"name": "images", **tensor}]}
        answer = client.post("/v2/models/cars/infer", json=body).json()
        probabilities, labels = answer["outputs"]
        assert (answer["id"], probabilities["shape"], labels["shape"]) == ("7", [count, 3], [count])
        assert close(probabilities["data"], offline["cars"].ravel())
        assert labels["data"] == [NAMES["cars"][1][i] for i in offline["cars"].argmax(1)]
    version = answer["model_version"]
    assert client.get(f"/v2/models/cars/versions/{version}/ready").status_code == 200
    assert client.get("/v2/models/cars/versions/2").status_code == 404
