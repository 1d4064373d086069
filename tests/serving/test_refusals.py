"""What strangers send: each wrong thing is refused by itself, with the right status and one sentence."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import shutil
import struct
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from selfprompt.errors import Diverged
from selfprompt.serving import batcher, gate, v2
from selfprompt.serving.batcher import TooLate
from selfprompt.serving.repository import Repository
from selfprompt.serving.server import app
from selfprompt.serving.service import Service
from selfprompt.serving.settings import Settings
from tiny_server import client_of, form, make_pool, picture, save_adapters

PREDICT = "/v1/predict?adapter=birds"
INFER = "/v2/models/birds/infer"


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return save_adapters(tmp_path_factory.mktemp("adapters"))


@pytest.fixture(scope="module")
def pool(paths: dict[str, Path]) -> Any:
    return make_pool(paths)


@pytest.fixture(scope="module")
def client(pool: Any) -> Iterator[TestClient]:
    with client_of(pool, max_bytes=20_000, max_pixels=10_000, max_images=4) as client:
        yield client


def png(width: int, height: int, data: bytes = b"", bits: int = 8) -> bytes:
    """A PNG whose header says what it likes."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, bits, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


def tiled(side: int, tile: int) -> bytes:
    """A grey TIFF in one tile, all black."""
    data = zlib.compress(b"\0" * tile**2)
    shape = {256: side, 257: side, 258: 8, 259: 8, 262: 1, 277: 1, 322: tile, 323: tile, 324: 8, 325: len(data)}
    tags = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in shape.items())
    return b"II*\0" + struct.pack("<I", 8 + len(data)) + data + struct.pack("<H", len(shape)) + tags + bytes(4)


POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 40 40\nshowpage\n"


@pytest.mark.parametrize(
    ("image", "why"),
    [
        (png(60_000, 60_000), "more than 10,000 pixels"),  # a decompression bomb, by Pillow's measure
        (png(200, 100), "more than 10,000 pixels"),
        (png(100, 60, bits=16), "more than 10,000 pixels"),  # of which each colour is decoded twice
        (tiled(40, 256), "more than 10,000 pixels"),  # a tile is decoded whole
        (png(40, 40, b"\0" * 100), "cannot be decoded"),
        (picture(0)[:80], "cannot be decoded"),
        (POSTSCRIPT, "no image"),
        (b"GIF89a", "no image"),
        (b"\0", "no image"),
    ],
)
def test_images_that_are_none_are_refused_before_they_cost_anything(
    client: TestClient, image: bytes, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "pixels" in why:
        Image.open(io.BytesIO(tiled(2, 16))).close()  # Pillow has loaded all of its formats
        monkeypatch.setattr(Image.Image, "load", lambda *_: pytest.fail("it was decoded"))
    answer = client.post(PREDICT, content=image, headers={"content-type": "image/png"})
    assert answer.status_code == 400
    assert why in answer.json()["error"]


def test_images_of_many_bits_and_in_tiles_are_taken_where_they_fit(client: TestClient) -> None:
    deep = io.BytesIO()
    Image.fromarray(np.arange(6400, dtype=np.uint16).reshape(80, 80)).save(deep, "TIFF")
    for image in (tiled(40, 48), png(70, 70, b"\0" * (70 * (6 * 70 + 1)), bits=16), deep.getvalue()):
        answer = client.post(PREDICT, content=image, headers={"content-type": "image/tiff"})
        assert answer.status_code == 200, answer.text


def tensor(kind: str, shape: list[int], data: list[Any]) -> dict[str, Any]:
    """A request of the Open Inference Protocol."""
    return {"json": {"inputs": [{"name": "images", "datatype": kind, "shape": shape, "data": data}]}}


RAW = {"content-type": "image/png"}
JSON = {"content-type": "application/json"}


@pytest.mark.parametrize(
    ("path", "sent", "status"),
    [
        (PREDICT, {"content": b"", "headers": RAW}, 400),
        (PREDICT, {"content": picture(0), "headers": {"content-type": "text/plain"}}, 415),
        (PREDICT, {"content": picture(0), "headers": {**RAW, "content-encoding": "gzip"}}, 415),
        (PREDICT, {"content": b"x" * 20_001, "headers": RAW}, 413),
        (PREDICT, {"files": form(*[picture(0)] * 5)}, 400),
        (PREDICT, {"data": {"images": "text"}, "files": form(picture(0))}, 400),
        (PREDICT, {"content": b"--x", "headers": {"content-type": "multipart/form-data; boundary=x"}}, 400),
        (PREDICT, {"content": b"--x", "headers": {"content-type": "multipart/form-data"}}, 400),
        (PREDICT + "&top_k=0", {"files": form(picture(0))}, 422),
        (PREDICT + "&threshold=nan", {"files": form(picture(0))}, 422),
        ("/v1/predict?adapter=none", {"files": form(picture(0))}, 404),
        ("/v1/predict", {"files": form(picture(0))}, 400),
        (INFER, {"content": b"{", "headers": JSON}, 400),
        (INFER, {"json": {"inputs": []}}, 400),
        (INFER, {"json": {"inputs": [{"name": "images", "datatype": "BYTES", "shape": [1], "data": ["!"]}]}}, 400),
        (INFER, {"json": {"inputs": [{"name": "images", "datatype": "BYTES", "shape": [-1], "data": []}]}}, 400),
        (
            INFER,
            {"json": {"inputs": [{"name": "images", "datatype": "UINT8", "shape": [1, 3, 9, 9], "data": [0]}]}},
            400,
        ),
        (
            INFER,
            {"json": {"inputs": [{"name": "images", "datatype": "UINT8", "shape": [1, 3, 32, 32], "data": [0]}]}},
            400,
        ),
        (INFER, {"content": b"{}", "headers": {**JSON, "Inference-Header-Content-Length": "9"}}, 400),
        ("/v2/models/none/infer", {"json": {}}, 404),
        ("/v2/repository/index", {"json": {}}, 404),
        ("/docs", {}, 404),
    ],
)
def test_what_is_wrong_with_a_request_is_said(
    client: TestClient, path: str, sent: dict[str, Any], status: int
) -> None:
    answer = client.post(path, **sent)
    assert (answer.status_code, list(answer.json())) == (status, ["error"])


def mutated(rng: np.random.Generator, data: bytes) -> bytes:
    """Bytes that somebody has cut, repeated or changed."""
    changed = bytearray(data)
    for _ in range(rng.integers(1, 20)):
        match rng.integers(4):
            case 0:
                changed[rng.integers(len(changed))] = rng.integers(256)
            case 1:
                del changed[rng.integers(1, len(changed) + 1) :]
            case 2:
                at = rng.integers(len(changed))
                changed[at:at] = rng.bytes(rng.integers(1, 9))
            case 3:
                at = rng.integers(len(changed))
                del changed[at : at + rng.integers(1, 9)]
        if not changed:
            return b"\0"
    return bytes(changed)


def test_of_mutated_images_and_bodies_none_is_an_error_of_ours(client: TestClient) -> None:
    rng = np.random.default_rng(0)
    kinds = [picture(1, kind) for kind in ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF", "JPEG2000")]
    request = client.build_request("POST", PREDICT, files=form(picture(0), picture(1, "JPEG")))
    body, content_type = request.read(), request.headers["content-type"]
    json = b'{"inputs": [{"name": "images", "datatype": "UINT8", "shape": [1, 3, 2, 2], "data": [[1, 2], [3]]}]}'
    statuses = {200: 0, 400: 0}
    for i in range(300):
        sent = {
            0: (PREDICT, mutated(rng, kinds[i % len(kinds)]), "image/png"),
            1: (PREDICT, mutated(rng, body), content_type),
            2: (INFER, mutated(rng, json), "application/json"),
        }[i % 3]
        answer = client.post(sent[0], content=sent[1], headers={"content-type": sent[2]})
        assert answer.status_code in statuses, (sent, answer.text)
        assert answer.status_code == 200 or answer.json()["error"]
        statuses[answer.status_code] += 1
    assert statuses[400] > 100


def scope(path: str, *headers: tuple[bytes, bytes]) -> dict[str, Any]:
    path, _, query = path.partition("?")
    return {
        "type": "http",
        "method": "POST",
        "path": path,
        "query_string": query.encode(),
        "headers": [(b"host", b"localhost"), (b"content-type", b"image/png"), *headers],
        "http_version": "1.1",
        "scheme": "http",
        "server": ("localhost", 80),
        "client": ("127.0.0.1", 9),
    }


async def statuses(made: Any, receive: Any) -> int:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async with made.router.lifespan_context(made):
        await made(scope(PREDICT), receive, send)
    return sent[0]["status"]


def test_bytes_are_counted_as_they_come_and_no_longer_than_they_may(pool: Any) -> None:
    taken = 0

    async def endless() -> Any:
        nonlocal taken
        taken += 1
        return {"type": "http.request", "body": b"x" * 1000, "more_body": True}

    async def silent() -> Any:
        await asyncio.sleep(60)

    async def hangs_up() -> Any:
        return {"type": "http.disconnect"}

    assert asyncio.run(statuses(app(pool, Settings(max_bytes=10_000)), endless)) == 413
    assert taken == 11
    assert asyncio.run(statuses(app(pool, Settings(timeout_s=0.05)), silent)) == 408
    assert asyncio.run(statuses(app(pool), hangs_up)) == 499


@pytest.mark.parametrize("announced", [True, False])
def test_bodies_that_come_at_once_are_counted_together(
    pool: Any, monkeypatch: pytest.MonkeyPatch, announced: bool
) -> None:
    monkeypatch.setattr(gate, "BODIES", 3)
    image = picture(0)
    headers = [(b"content-length", str(len(image)).encode())] if announced else []

    async def ask(made: Any, come: asyncio.Event, fits: bool = True) -> tuple[int, dict[bytes, bytes]]:
        """Send a body, all but its last byte at once."""
        parts, sent = [image[-1:], image[:-1]], []

        async def receive() -> Any:
            assert fits or not announced, "it is read although there is no room"
            if len(parts) == 1:
                await come.wait()
            if not parts:
                await asyncio.sleep(60)
            return {"type": "http.request", "body": parts.pop(), "more_body": bool(parts)}

        async def send(message: Any) -> None:
            sent.append(message)

        await made(scope(PREDICT, *headers), receive, send)
        return sent[0]["status"], dict(sent[0]["headers"])

    async def several() -> None:
        made = app(pool, Settings(max_bytes=len(image)))
        async with made.router.lifespan_context(made):
            come = asyncio.Event()
            slow = [asyncio.create_task(ask(made, come)) for _ in range(3)]
            await asyncio.sleep(0.1)
            status, said = await ask(made, come, fits=False)
            assert (status, said[b"retry-after"], said[b"connection"]) == (429, b"1", b"close")
            come.set()
            assert [status for status, _ in await asyncio.gather(*slow)] == [200] * 3
            assert (await ask(made, come))[0] == 200  # their room is given back

    asyncio.run(several())


def test_of_too_many_requests_those_for_health_are_answered(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "REQUESTS", 0)
    for path in ("/v2/health/live", "/v2/health/ready"):
        assert client.get(path).status_code == 200
    answer = client.get("/v1/models")
    assert (answer.status_code, list(answer.json()), answer.headers["retry-after"]) == (429, ["error"], "1")
    monkeypatch.undo()
    assert client.get("/v1/models").status_code == 200


def test_health_needs_no_thread(pool: Any) -> None:
    routes = {route.path: route.endpoint for route in v2.health(Service(pool, Settings())).routes}
    assert all(asyncio.iscoroutinefunction(routes[f"/v2/health/{name}"]) for name in ("live", "ready"))


async def late(*_: Any) -> Any:
    raise TooLate


def test_a_full_queue_and_a_late_answer_are_said_at_once(pool: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with client_of(pool, max_queue=4, max_images=4) as client:
        service = client.app.state.service
        with service.batcher.room(3):
            assert client.post(PREDICT, files=form(picture(0))).status_code == 200
            answer = client.post(PREDICT, files=form(picture(0), picture(1)))
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")
        assert service.batcher.held == 0
        monkeypatch.setattr(service, "answers", late)
        assert client.post(PREDICT, files=form(picture(0))).status_code == 504
        monkeypatch.undo()
        rejected = client.get("/metrics").text
    assert 'selfprompt_rejected_total{reason="busy"} 1.0' in rejected
    assert 'selfprompt_rejected_total{reason="too late"} 1.0' in rejected


@pytest.mark.parametrize("fault", ["image", "pass"])
def test_of_a_request_that_fails_as_a_whole_nothing_more_is_computed(
    pool: Any, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    computed, passes, go = [], [], threading.Event()
    with client_of(pool, max_batch=1) as client:
        service = client.app.state.service

        def compute(batch: Any) -> Any:
            passes.append(len(batch))
            if fault == "pass" and len(passes) == 1:
                return [Diverged("The adapter's answer is NaN or infinite.")]
            go.wait(10)
            return [np.full(2, 0.5, np.float32)]

        monkeypatch.setattr(service.batcher, "compute", compute)
        wanted = batcher.wanted
        monkeypatch.setattr(batcher, "wanted", lambda work: computed.append(wanted(work)) or computed[-1])
        if fault == "pass":
            answer = client.post(PREDICT, files=form(*[picture(0)] * 6))
        else:
            images = [base64.b64encode(data).decode() for data in [*[picture(0)] * 5, b"none"]]
            answer = client.post(INFER, **tensor("BYTES", [6], images))
        go.set()
    assert answer.status_code == (500 if fault == "pass" else 400)
    assert fault == "pass" or answer.json()["error"].startswith("Image 5: ")
    assert service.batcher.held == 0
    assert len(passes) < 6
    assert len(passes) == sum(computed)


def test_a_failing_pass_is_an_error_of_ours_and_the_next_is_answered(
    client: TestClient, pool: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(pool.backbone, "run", lambda *_, **__: 1 / 0)
        answer = client.post(PREDICT, files=form(picture(0)))
        assert answer.status_code == 500
        assert "ZeroDivision" not in answer.text
    assert client.post(PREDICT, files=form(picture(0))).status_code == 200


def test_names_of_files_are_said_and_not_opened(client: TestClient, tmp_path: Path) -> None:
    secret = tmp_path / "secret.png"
    secret.write_bytes(picture(3))
    body = io.BytesIO(str(secret).encode())
    answer = client.post(PREDICT, files=[("images", (str(secret), body, "image/png"))])
    assert answer.status_code == 400
    answer = client.post("/v1/predict", params={"adapter": str(tmp_path)}, files=form(picture(0)))
    assert answer.status_code == 404


def test_outputs_are_few_and_headers_are_numbers(client: TestClient) -> None:
    body = {"inputs": [{"name": "images", "datatype": "UINT8", "shape": [1, 3, 32, 32], "data": [0] * 3072}]}
    for outputs in ([{"name": "labels"}] * 2, [{"name": "labels"}, {"name": "probabilities"}] * 2):
        assert client.post(INFER, json={**body, "outputs": outputs}).status_code == 400
    assert client.post(INFER, json={**body, "outputs": [{"name": "labels"}]}).status_code == 200
    for name, parameters in (
        ("labels", {"classification": 1}),
        ("probabilities", {"classification": 0}),
        ("probabilities", {"classification": "2"}),
        ("probabilities", {"binary_data": "yes"}),
        ("probabilities", {"shared_memory_region": "own"}),
    ):
        asked = {**body, "outputs": [{"name": name, "parameters": parameters}]}
        assert client.post(INFER, json=asked).status_code == 400, parameters
    (given,) = body["inputs"]
    shared = {"inputs": [{**given, "parameters": {"shared_memory_region": "own"}}]}
    assert "shares no memory" in client.post(INFER, json=shared).json()["error"]
    long = {"Inference-Header-Content-Length": "9" * 5000, "content-type": "application/octet-stream"}
    assert client.post(INFER, content=b"{}", headers=long).status_code == 400


def test_an_adapter_that_is_damaged_in_a_way_of_its_own_is_left_out(paths: dict[str, Path], tmp_path: Path) -> None:
    shutil.copytree(paths["birds"], tmp_path / "birds")
    shutil.copytree(paths["cars"], tmp_path / "cars")
    file = tmp_path / "cars" / "adapter_config.json"
    config = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps({**config, "num_classes": 10**14}), encoding="utf-8")
    (tmp_path / "round").symlink_to(tmp_path / "round")
    pool = make_pool({})
    repository = Repository(pool, tmp_path, 9)
    repository.load_all()
    assert pool.names == ["birds"]
    assert "cars" in repository.failed


def test_a_server_answers_at_the_address_that_it_was_given(pool: Any) -> None:
    for address, status in (("127.0.0.2", 200), ("elsewhere.example", 400)):
        with TestClient(app(pool, Settings(host="127.0.0.2")), base_url=f"http://{address}") as client:
            assert client.get("/v2/health/live").status_code == status
