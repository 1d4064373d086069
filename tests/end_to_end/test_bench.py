"""A published benchmark from a tree on disk to a table with measured, published and difference."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from selfprompt.comparison.bench import bench
from selfprompt.comparison.suites import SUITES

pytestmark = pytest.mark.slow


def test_vtab_in_noahs_layout(tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "data" / "kitti"
    (home / "images").mkdir(parents=True)
    for split, count in (("train800", 800), ("val200", 200), ("test", 711)):
        lines = []
        for i in range(count):
            name = f"images/{split}-{i}.png"
            Image.fromarray(np.full((8, 8, 3), 60 * (i % 4), dtype=np.uint8)).save(home / name)
            lines.append(f"{name} {i % 4}\n")
        (home / f"{split}.txt").write_text("".join(lines), encoding="utf-8")
    monkeypatch.setenv("SELFPROMPT_DATA", str(tmp_path / "data"))
    whole = SUITES["vtab1k"]["spt2024"]
    suite = replace(
        whole,
        groups={"structured": ("vtab/kitti",)},
        backbone=str(weights),
        protocol=whole.protocol | {"image_size": 32},
        recipe={"epochs": 2, "batch_size": 64},
        fields={"num_prompts": 3},
        trials=1,
    )
    table = bench(suite, ["spt:frozen_prompts=true", "full"], tmp_path / "out", seeds=2)
    assert table["results"][0]["published"] == []
    full = table["results"][1]
    assert {row["paper"] for row in full["published"]} == {"spt2024", "vfpt2024"}
    text = (tmp_path / "out" / "table.md").read_text(encoding="utf-8")
    difference = full["groups"]["structured"]["mean"] - 75.3
    assert f"53.8 ({full['groups']['structured']['mean'] - 53.82:+.1f}; vpt2022 in spt2024)" in text
    # of all the tasks that VFPT's appendix prints
    assert f"75.3 ({difference:+.1f}; vpt2022 in vfpt2024)" in text
