"""Tools that are not ours: a client of the Open Inference Protocol, and a tester of OpenAPI documents."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import uvicorn
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.strategies import booleans

from selfprompt.serving.server import app, listening
from selfprompt.serving.settings import Settings
from tiny_server import NAMES, make_pool, picture, save_adapters

ADMIN = "admin-" + "a" * 20


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("served")
    paths = save_adapters(folder / "offered")
    (folder / "admin").write_text(ADMIN, encoding="utf-8")
    del paths["probe"]
    return app(make_pool(paths), Settings(admin_keys=folder / "admin", adapters_dir=folder / "offered"))


@pytest.fixture(scope="module")
def address(made: Any) -> Iterator[str]:
    """Where it listens, with a thread of its own."""
    with listening(Settings(port=0)) as listener:
        server = uvicorn.Server(uvicorn.Config(made, log_level="error"))
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        thread.join()


def test_tritons_client_finds_what_it_expects(address: str) -> None:
    triton = pytest.importorskip("tritonclient.http")
    client, headers = triton.InferenceServerClient(address), {"Authorization": f"Bearer {ADMIN}"}
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.get_server_metadata()["extensions"] == ["binary_tensor_data", "classification", "model_repository"]
    assert client.is_model_ready("cars")
    assert not client.is_model_ready("none")
    metadata = client.get_model_metadata("cars")
    assert metadata["outputs"][0] == {"name": "probabilities", "datatype": "FP32", "shape": [-1, 3]}
    files = np.array([picture(i, "JPEG") for i in range(3)], dtype=np.object_)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 3, 32, 32), dtype=np.uint8)
    for data, kind in ((files, "BYTES"), (pixels, "UINT8")):
        asked = triton.InferInput("images", list(data.shape), kind)
        asked.set_data_from_numpy(data)
        answers = []
        for outputs in (
            None,
            [triton.InferRequestedOutput(name, binary_data=False) for name in ("probabilities", "labels")],
        ):
            result = client.infer("cars", [asked], outputs=outputs, request_id="1")
            probabilities, labels = result.as_numpy("probabilities"), result.as_numpy("labels")
            assert probabilities.sum(axis=1) == pytest.approx(np.ones(len(data)), abs=1e-5)
            words = [label.decode() if isinstance(label, bytes) else str(label) for label in labels]
            assert words == [NAMES["cars"][1][i] for i in probabilities.argmax(axis=1)]
            answers.append(probabilities)
        assert answers[0] == pytest.approx(answers[1], abs=1e-6)
        for count, binary in ((2, True), (9, False)):
            likeliest = [triton.InferRequestedOutput("probabilities", binary_data=binary, class_count=count)]
            found = client.infer("cars", [asked], outputs=likeliest).as_numpy("probabilities")
            assert found.shape == (len(data), min(count, 3))
            for row, texts in zip(answers[0], found):
                for place, text in zip(np.argsort(-row), texts):
                    score, index, label = (text.decode() if isinstance(text, bytes) else str(text)).split(":")
                    assert float(score) == pytest.approx(row[place], abs=1e-5)
                    assert (int(index), label) == (place, NAMES["cars"][1][place])
    client.load_model("probe", headers=headers)
    assert client.is_model_ready("probe")
    client.unload_model("probe", headers=headers)
    index = {one["name"]: one["state"] for one in client.get_model_repository_index(headers=headers)}
    assert index == {"birds": "READY", "cars": "READY", "probe": "UNAVAILABLE"}
    with pytest.raises(triton.InferenceServerException, match="Send a key"):
        client.load_model("probe")


def test_the_openapi_document_holds_whatever_is_sent(address: str) -> None:
    schemathesis = pytest.importorskip("schemathesis")
    headers = {"authorization": f"Bearer {ADMIN}"}
    # which bytes are an image, and which data a shape, no schema says; keys have tests of their own
    left_out = {"positive_data_acceptance", "ignored_auth"}
    schema, seen = schemathesis.openapi.from_url(f"http://{address}/openapi.json"), set()
    checks = [check for check in schemathesis.checks.CHECKS.get_all() if check.__name__ not in left_out]
    assert len(checks) > 10  # those of OpenAPI are known once a document is loaded
    for operation in (found.ok() for found in schema.get_all_operations()):
        wrong = operation.as_strategy(generation_mode=schemathesis.GenerationMode.NEGATIVE)

        @given(case=operation.as_strategy() | wrong, known=booleans())
        @settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
        def send(case: Any, known: bool) -> None:
            for given_names, name in ((case.path_parameters, "name"), (case.query, "adapter")):
                if known and given_names and name in given_names:
                    given_names[name] = "cars"
            # a case that was wrong may be right once its name is
            own = [check for check in checks if not known or check.__name__ != "negative_data_rejection"]
            case.call_and_validate(headers=headers, checks=own)
            seen.add(case.operation.path)

        send()
    assert len(seen) == 16
