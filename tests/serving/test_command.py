"""The command itself, under load and under faults."""

from __future__ import annotations

import http.client
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import selfprompt as sp

pytestmark = pytest.mark.slow
ADMIN = "admin-" + "a" * 20
PNG = {"content-type": "image/png"}
CLASSES = {"birds": ["hen", "owl"], "cars": ["bus", "van", "cab"], "more": ["x", "y"]}


def pictures() -> list[bytes]:
    rng, found = np.random.default_rng(0), []
    for _ in range(4):
        file = io.BytesIO()
        Image.fromarray(rng.integers(0, 256, (50, 40, 3), dtype=np.uint8)).save(file, "PNG")
        found.append(file.getvalue())
    return found


def save(folder: Path) -> None:
    for seed, (name, classes) in enumerate(CLASSES.items()):
        model = sp.create_model("builtin", "vpt", class_names=classes, num_prompts=3, seed=seed)
        size = model.protocol.image_size
        model.initialize([torch.randn(4, 3, size, size)], seed=seed)
        with torch.no_grad():
            model.head.linear.weight.normal_(std=0.5)
        model.save_pretrained(folder / name)
    shutil.copytree(folder / "more", folder / "broken")
    (folder / "broken" / "adapter_model.safetensors").write_bytes(b"corrupt")


def ask(port: int, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, Any]:
    """One request on a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
    try:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        text = answer.read()
        return answer.status, json.loads(text) if text[:1] in (b"{", b"[") else text
    finally:
        connection.close()


def test_under_faults_every_answer_is_right_and_none_is_lost(tmp_path: Path) -> None:
    save(tmp_path / "offered")
    (tmp_path / "admin").write_text(ADMIN, encoding="utf-8")
    images = pictures()
    expected = {name: sp.predict(tmp_path / "offered" / name, images) for name in ("birds", "cars")}
    command = [sys.executable, "-m", "selfprompt", "serve", "--json", "--log", "json", "--port", "0"]
    command += [f"{name}={tmp_path / 'offered' / name}" for name in ("birds", "cars")]
    command += ["--adapters-dir", str(tmp_path / "offered"), "--admin-keys", str(tmp_path / "admin")]
    command += ["--max-bytes", "100000", "--timeout-s", "100", "--drain-s", "2"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes, env={**os.environ, "OMP_NUM_THREADS": "1"}) as server:
        assert server.stdout is not None
        told = json.loads(server.stdout.readline())
        assert told["adapters"] == ["birds", "cars"]
        port, stopping = int(told["url"].rpartition(":")[2]), time.monotonic() + 1e6

        def right(i: int) -> bool:
            """Whether an answer is that of the library, or the server had stopped listening before it was asked."""
            name, image = ("birds", "cars")[i % 2], i % len(images)
            asked = time.monotonic()
            try:
                status, found = ask(port, "POST", f"/v1/predict?adapter={name}", images[image], **PNG)
            except OSError:
                return asked > stopping
            one, same = found["predictions"][0], expected[name][image]
            close = abs(one["probability"] - same["probability"]) < 1e-5
            return status == 200 and one["label"] == same["label"] and close

        def load(i: int) -> int:
            name, verb = (("more", "load"), ("more", "unload"), ("broken", "load"), ("birds", "load"))[i % 4]
            return ask(port, "POST", f"/v2/repository/models/{name}/{verb}", authorization=f"Bearer {ADMIN}")[0]

        hanging = socket.create_connection(("127.0.0.1", port))
        head = "POST /v1/embed HTTP/1.1", "Host: localhost", "Content-Type: image/png", "Content-Length: 99", "", "x"
        hanging.sendall("\r\n".join(head).encode())
        with ThreadPoolExecutor(8) as threads:
            answers = threads.map(right, range(40))
            loads = [load(i) for i in range(8)]
            too_large = ask(
                port, "POST", "/v1/predict?adapter=birds", b"x" * 100_001, **{"content-type": "image/png"}
            )
            assert all(answers)
        assert loads == [200, 200, 400, 200] * 2
        assert too_large[0] == 413
        assert ask(port, "GET", "/v2/health/ready")[0] == 200
        with ThreadPoolExecutor(8) as threads:
            answers = threads.map(right, range(200))
            time.sleep(0.2)
            server.send_signal(signal.SIGTERM)
            stopping = time.monotonic()
            time.sleep(0.2)
            assert ask(port, "GET", "/v2/health/ready")[0] == 503
            assert all(answers)
        hanging.close()
        _, log = server.communicate(timeout=300)
    assert server.returncode == 0
    lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    assert sum(line.get("route") == "/v1/predict" and line["status"] == 200 for line in lines) > 40


def test_a_taken_port_is_said_in_a_sentence(tmp_path: Path) -> None:
    from selfprompt.serving.server import listening
    from selfprompt.serving.settings import Settings

    with listening(Settings(port=0)) as taken, pytest.raises(sp.UserError, match="give another --port"):
        listening(Settings(port=taken.getsockname()[1]))
