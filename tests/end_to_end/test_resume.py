"""Killed at any moment and resumed, a run ends as one that was not killed, to the bit."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from processes import Python

pytestmark = pytest.mark.slow
COSTS = ("seconds", "waiting_share", "compile_seconds", "peak_memory_bytes")

SCRIPT = """
import sys, os, time
from pathlib import Path
import torch
torch.set_num_threads(1)
from selfprompt.runs.config import RunConfig, read_run
from selfprompt.runs.tune import tune
data, weights, out, resume, pause = sys.argv[1:]
out = Path(out)
def on_step(done, total, words):
    print(done, flush=True)
    time.sleep(float(pause))
if resume == "yes":
    config = read_run(out)
else:
    config = RunConfig.resolve(
        data, weights, "spt", fields={"num_prompts": 4, "prompt_dropout": 0.1, "head_norm": "batch"},
        recipe={"epochs": 4, "batch_size": 4, "lr": 0.05, "ema_decay": 0.9, "mixup": 0.5, "cutmix": 1.0},
        protocol={"augmentation": "crop_flip+randaugment"},
    )
tune(config, out, resume=resume == "yes", on_step=on_step, checkpoint_seconds=0)
"""


def words(folder: Path, weights: Path, out: Path, resume: bool, pause: float) -> list[str]:
    return list(map(str, (folder, weights, out, "yes" if resume else "no", pause)))


def measured(out: Path) -> dict:
    metrics = json.loads((out / "metrics.json").read_text(encoding="utf-8"))
    return {
        k: v
        for k, v in metrics.items()
        if k not in ("seconds", "waiting_share", "compile_seconds", "peak_memory_bytes")
    }


def test_kill_and_resume_is_exact(folder: Path, weights: Path, tmp_path: Path) -> None:
    whole = [sys.executable, "-c", SCRIPT, *words(folder, weights, tmp_path / "whole", False, 0)]
    subprocess.run(whole, check=True, capture_output=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    rng = random.Random(0)
    resume, kills, killed_at = False, [3, rng.randint(5, 8), rng.randint(9, 12), rng.randint(13, 15)], []
    for kill in kills:
        process = Python(*words(folder, weights, tmp_path / "killed", resume, 0.02), code=SCRIPT)
        for line in process.stdout:
            if int(line) >= kill:
                time.sleep(rng.random() * 0.05)
                os.kill(process.pid, signal.SIGKILL)
                killed_at.append(int(line))
                break
        process.communicate()
        assert process.wait() == -signal.SIGKILL
        assert not (tmp_path / "killed" / "metrics.json").exists()
        resume = True
    assert killed_at == kills
    last = Python(*words(folder, weights, tmp_path / "killed", True, 0), code=SCRIPT)
    steps = last.communicate()[0].split()
    assert last.wait() == 0
    assert int(steps[0]) >= kills[-1]  # it went on where it was, and did not begin again

    assert measured(tmp_path / "killed") == measured(tmp_path / "whole")
    for name in ("adapter_model.safetensors", "adapter_config.json", "log.jsonl", "log.csv", "split.json"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name
