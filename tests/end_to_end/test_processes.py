"""Two processes reach the prompts of one with the same global batch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file

pytestmark = pytest.mark.slow

LAUNCH = ("torch.distributed.run", "--standalone", "--nproc-per-node", 2, "-m")


@pytest.mark.parametrize("method", ["spt", "linear"])
def test_two_processes_equal_one(method: str, folder: Path, weights: Path, tmp_path: Path) -> None:
    arguments = ["tune", folder, "--backbone", weights, "--method", method, "--epochs", 3, "--batch-size", 6]
    arguments += ["--lr", 0.05, "--no-probe"] + (["--num-prompts", 4] if method == "spt" else [])
    environment = os.environ | {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    for launch, out in (((), "one"), (LAUNCH, "two")):
        command = [sys.executable, "-m", *launch, "selfprompt", *arguments, "--out", tmp_path / out]
        done = subprocess.run(
            list(map(str, command)), capture_output=True, text=True, check=False, env=environment, timeout=300
        )
        assert done.returncode == 0, done.stderr[-3000:]
    metrics = {
        out: json.loads((tmp_path / out / "metrics.json").read_text(encoding="utf-8")) for out in ("one", "two")
    }
    assert (metrics["one"]["processes"], metrics["two"]["processes"]) == (1, 2)
    assert metrics["one"]["test_accuracy"] == metrics["two"]["test_accuracy"]
    one, two = (load_file(tmp_path / out / "adapter_model.safetensors") for out in ("one", "two"))
    assert one.keys() == two.keys()
    assert all((one[k] - two[k]).norm() < 1e-3 * one[k].norm() + 1e-6 for k in one)
