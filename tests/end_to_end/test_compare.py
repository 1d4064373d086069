"""The comparison through the command line: its table, a kill, and a benchmark."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import psutil
import pytest

from processes import Python
from selfprompt.comparison.bench import bench
from selfprompt.comparison.suites import Suite

pytestmark = pytest.mark.slow


def command(folder: Path, weights: Path, out: Path, *more: str) -> list[str]:
    run = ["compare", str(folder), "--backbone", str(weights), "--out", str(out)]
    run += ["--methods", "linear,vpt,spt:prompt_rms=0.1", "--num-prompts", "3", "--epochs", "4", "--seeds", "2"]
    return [*run, "--trials", "2", "--batch-size", "4", "--precision", "float32", *more]


def without_costs(table: dict) -> list[dict]:
    return [{k: v for k, v in row.items() if k not in ("seconds", "peak_memory_bytes")} for row in table["results"]]


def test_killed_and_started_again_it_gives_the_same_table(
    folder: Path, weights: Path, tmp_path: Path, works, fails
) -> None:
    printed = json.loads(works(*command(folder, weights, tmp_path / "straight", "--json")))
    assert set(printed) == {"protocol", "precision", "dataset", "results"}
    assert printed["precision"] == "float32"
    assert [row["method"] for row in printed["results"]] == ["linear", "vpt", "spt:prompt_rms=0.1"]
    for row in printed["results"]:
        assert len(row["trials"]) == 2
        assert len(row["test_accuracies"]) == row["seeds"] == 2
        assert row["precision"] == "float32"
        assert row["readout"] == ("mae_average" if row["method"].startswith("spt") else "fresh_average")
        assert row["trainable_parameters"] == (0 if row["method"] == "linear" else 3 * 3 * 64) + 3 * 64 + 3
    assert {path.suffix for path in (tmp_path / "straight").glob("table.*")} == {".md", ".csv", ".tex", ".json"}

    killed = tmp_path / "killed"
    process = Python(*command(folder, weights, killed), apart=True)
    first = killed / "runs" / "vpt" / "trial-0" / "metrics.json"
    while not first.exists():
        assert process.poll() is None, "the comparison ended before it could be killed"
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    done = {path: path.stat().st_mtime_ns for path in killed.rglob("metrics.json")}
    assert not (killed / "table.json").exists()
    works(*command(folder, weights, killed))
    again = json.loads((killed / "table.json").read_text(encoding="utf-8"))
    assert without_costs(again) == without_costs(printed)
    assert all(path.stat().st_mtime_ns == when for path, when in done.items() if "trial" in str(path))

    other = fails(*command(folder, weights, killed, "--clip-grad", "1"))
    assert "holds a comparison with another recipe" in other


def test_workers_end_with_the_command_that_is_killed(folder: Path, weights: Path, tmp_path: Path) -> None:
    process = Python(*command(folder, weights, tmp_path))
    while not list(tmp_path.glob("runs/*/trial-0/log.jsonl")):
        assert process.poll() is None, "the comparison ended before it could be killed"
        time.sleep(0.02)
    workers = psutil.Process(process.pid).children(recursive=True)
    assert workers
    process.kill()
    process.wait()
    _, alive = psutil.wait_procs(workers, timeout=60)
    assert not alive


def test_a_benchmark_is_a_comparison_on_each_task(folder: Path, weights: Path, tmp_path: Path) -> None:
    suite = Suite(
        name="two",
        groups={"natural": (str(folder),), "structured": ("scenes/location",), "absent": ("nowhere",)},
        optional=("nowhere",),
        backbone=str(weights),
        protocol={"train_images": 36, "final": "train+val", "test_fraction": 0.2},
        recipe={"epochs": 1, "batch_size": 8},
        fields={"num_prompts": 3},
        trials=1,
    )
    table = bench(suite, ["full", "spt:frozen_prompts=true"], tmp_path / "out", seeds=2)
    assert table["benchmark"] == "two"
    full, frozen = table["results"]
    assert full["tasks_above_full"] == 0
    assert frozen["trainable_parameters"] == round((3 * 65 + 6 * 65) / 2)
    listed = [row["test_accuracy_mean"] for row in full["tasks"].values()]
    assert full["test_accuracy_mean"] == pytest.approx(sum(listed) / len(listed))
    assert (tmp_path / "out" / "table.md").read_text(encoding="utf-8").startswith("| method | natural | structured |")
    run = tmp_path / "out" / "scenes-location" / "runs" / "full" / "seed-0"
    last, metrics = (json.loads((run / name).read_text(encoding="utf-8")) for name in ("split.json", "metrics.json"))
    assert len(last["train"]) + len(last["val"]) == 36
    assert metrics["val_accuracy"] is None


def test_a_study_varies_what_the_methods_share(folder: Path, weights: Path, tmp_path: Path, works) -> None:
    run = ["compare", folder, "--backbone", weights, "--study", "training-set", "--methods", "linear"]
    run += ["--epochs", 1, "--seeds", 1, "--trials", 1, "--further-trials", 1, "--out", tmp_path]
    rows = json.loads(works(*run, "--json"))["results"]
    assert [row["setting"] for row in rows] == ["100 images", "200 images", "400 images", "800 images"]
    assert len({row["protocol"] for row in rows}) == 4
    assert [len(row["trials"]) for row in rows] == [2] * 4  # the first is at both ends of what was tried
    assert (tmp_path / "table.md").read_text(encoding="utf-8").startswith("| method | setting | protocol |")
    assert "linear 100 images" in (tmp_path / "report.html").read_text(encoding="utf-8")
