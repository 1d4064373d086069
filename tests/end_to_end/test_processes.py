"""Two processes reach the prompts of one with the same global batch."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import load_file

from processes import Python, done

pytestmark = pytest.mark.slow

LAUNCH = ("torch.distributed.run", "--standalone", "--nproc-per-node", 2, "-m")


def launched(arguments: list[object], environment: dict[str, str]) -> None:
    """By torch's own launcher."""
    command = list(map(str, [sys.executable, "-m", *LAUNCH, "selfprompt", *arguments]))
    told = subprocess.run(
        command, capture_output=True, text=True, check=False, env=os.environ | environment, timeout=300
    )
    assert told.returncode == 0, told.stderr[-3000:]


def by_hand(arguments: list[object], environment: dict[str, str]) -> None:
    """As any launcher does it, who tells each process by the environment which one it is."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    each = [
        Python(*arguments, environment=environment | meeting | {"RANK": rank, "LOCAL_RANK": rank})
        for rank in ("0", "1")
    ]
    for process in each:
        _, errors = process.communicate()
        assert process.wait() == 0, errors[-3000:]


@pytest.mark.parametrize(("method", "begin"), [("spt", launched), ("linear", by_hand)])
def test_two_processes_equal_one(
    method: str, begin: Callable[..., None], folder: Path, weights: Path, tmp_path: Path
) -> None:
    arguments = ["tune", folder, "--backbone", weights, "--method", method, "--epochs", 3, "--batch-size", 6]
    arguments += ["--lr", 0.05, "--no-probe"] + (["--num-prompts", 4] if method == "spt" else [])
    environment = {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    alone = done(*arguments, "--out", tmp_path / "one", environment=environment)
    assert alone.returncode == 0, alone.stderr[-3000:]
    begin([*arguments, "--out", tmp_path / "two"], environment)
    metrics = {
        out: json.loads((tmp_path / out / "metrics.json").read_text(encoding="utf-8")) for out in ("one", "two")
    }
    assert (metrics["one"]["processes"], metrics["two"]["processes"]) == (1, 2)
    assert metrics["one"]["test_accuracy"] == metrics["two"]["test_accuracy"]
    one, two = (load_file(tmp_path / out / "adapter_model.safetensors") for out in ("one", "two"))
    assert one.keys() == two.keys()
    assert all((one[k] - two[k]).norm() < 1e-3 * one[k].norm() + 1e-6 for k in one)
