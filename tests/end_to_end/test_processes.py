"""Two processes reach the prompts of one with the same global batch."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

pytestmark = pytest.mark.slow

SCRIPT = """
import sys
import torch
torch.set_num_threads(1)
from selfprompt.cli import main
main()
"""


@pytest.mark.parametrize("method", ["spt", "linear"])
def test_two_processes_equal_one(method: str, folder: Path, weights: Path, tmp_path: Path) -> None:
    (tmp_path / "run.py").write_text(SCRIPT)
    arguments = ["tune", folder, "--backbone", weights, "--method", method, "--epochs", 3, "--batch-size", 6]
    arguments += ["--lr", 0.05, "--no-probe"] + (["--num-prompts", 4] if method == "spt" else [])
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--cpu", "--num_processes", 2, "--num_machines", 1]
    launch += ["--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", 0, tmp_path / "run.py"]
    for command, out in (([sys.executable, tmp_path / "run.py"], "one"), (launch, "two")):
        words = list(map(str, [*command, *arguments, "--out", tmp_path / out]))
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        done = subprocess.run(words, capture_output=True, text=True, check=False, env=environment)
        assert done.returncode == 0, done.stderr[-3000:]
    one = load_file(tmp_path / "one" / "adapter_model.safetensors")
    two = load_file(tmp_path / "two" / "adapter_model.safetensors")
    assert one.keys() == two.keys()
    assert all(torch.allclose(one[k], two[k], atol=1e-4) for k in one)
    assert '"processes": 2' in (tmp_path / "two" / "metrics.json").read_text()
