"""A run loads its backbone once and decodes each image once; so does each trial of a comparison."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from selfprompt.backbones import load
from selfprompt.data.views import image
from selfprompt.runs.config import RunConfig
from selfprompt.runs.tune import tune


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    counts: Counter[str] = Counter()
    read, loaded = image.read_image, load.load_file

    def reading(source, *rest):
        counts[str(source)] += 1
        return read(source, *rest)

    def loading(path):
        counts["backbone"] += 1
        return loaded(path)

    monkeypatch.setattr(image, "read_image", reading)
    monkeypatch.setattr(load, "load_file", loading)
    return counts


def test_a_run_loads_and_decodes_once(folder: Path, weights: Path, tmp_path: Path, counted: Counter[str]) -> None:
    fields, recipe = {"num_prompts": 2, "keep": 0.5}, {"epochs": 2, "batch_size": 8}
    config = RunConfig.resolve(str(folder), str(weights), "spt", fields=fields, recipe=recipe)
    tune(config, tmp_path / "run")
    assert counted.pop("backbone") == 1
    assert len(counted) == 30
    assert set(counted.values()) == {1}
    for seed in (1, 2):
        tune(config.model_copy(update={"seed": seed}), tmp_path / f"run-{seed}")
    assert "backbone" not in counted
