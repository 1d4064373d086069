"""A run loads its backbone once and decodes each image once; so does each trial of a comparison."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from selfprompt.backbones import load
from selfprompt.comparison.compare import Comparison, check_methods, compare, protocol_of
from selfprompt.comparison.workers import Unit
from selfprompt.data.views import image
from selfprompt.errors import UserError
from selfprompt.reports import report
from selfprompt.runs.analysis import catch_up
from selfprompt.runs.config import RunConfig
from selfprompt.runs.tune import tune


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    counts: Counter[str] = Counter()
    read, loaded = image.read_image, load.load_file

    def reading(source, *rest):
        counts[str(source)] += 1
        return read(source, *rest)

    def loading(path, weights=True):
        counts["backbone"] += weights
        return loaded(path, weights)

    monkeypatch.setattr(image, "read_image", reading)
    monkeypatch.setattr(load, "load_file", loading)
    return counts


FIELDS, RECIPE = {"num_prompts": 2}, {"epochs": 2, "batch_size": 8}


def test_a_run_loads_and_decodes_once(folder: Path, weights: Path, tmp_path: Path, counted: Counter[str]) -> None:
    config = RunConfig.resolve(str(folder), str(weights), "spt", fields=FIELDS | {"keep": 0.5}, recipe=RECIPE)
    tune(config, tmp_path / "run")
    report(tmp_path / "run")
    assert counted.pop("backbone") == 1
    assert len(counted) == 30
    assert set(counted.values()) == {1}
    for seed in (1, 2):
        tune(config.model_copy(update={"seed": seed}), tmp_path / f"run-{seed}")
    assert "backbone" not in counted


@pytest.mark.parametrize(("method", "whole"), [("spt", False), ("spt", True), ("linear", False)])
def test_a_page_is_drawn_from_what_the_run_left(
    method: str, whole: bool, folder: Path, weights: Path, tmp_path: Path, monkeypatch, caplog
) -> None:
    fields = FIELDS if method == "spt" else {}
    config = RunConfig.resolve(str(folder), str(weights), method, fields=fields, recipe=RECIPE, probe=False)
    tune(config.model_copy(update={"whole": whole}), run := tmp_path / "run")
    left = (run / "analysis.json").read_bytes(), (run / "thumbnails.png").read_bytes()
    page = report(run).read_bytes()

    (run / "analysis.json").unlink()
    with pytest.raises(UserError, match=f"selfprompt report {run} makes it"):
        report(run)
    if not whole:  # as a run of an older version
        catch_up(run)
        assert "it is made now" in caplog.text
        known, made = (json.loads(text) for text in (left[0], (run / "analysis.json").read_bytes()))
        assert known["prompts"] == made["prompts"] if method == "spt" else "prompts" not in made
        assert {**known, "mistakes": []} == {**made, "mistakes": []}  # whose probabilities predictions.csv rounds
        assert report(run).read_bytes() == page
    (run / "analysis.json").write_bytes(left[0])

    monkeypatch.setattr(torch.nn.Module, "__call__", None)
    shutil.rmtree(folder)
    assert report(run).read_bytes() == page
    assert report(run).read_bytes() == page


class InTurn:
    """`Workers` whose processes are this one: each unit begins without what others hold."""

    def __init__(self, counted: Counter[str]) -> None:
        self.counted, self.units, self.most = counted, 0, Counter[str]()

    def run(self, units: Sequence[Unit]) -> list[dict]:
        found = []
        for unit in units:
            for loader in (load.packaged, load.from_file, load.from_timm):
                loader.cache_clear()
            self.counted.clear()
            found.append(unit.work(*unit.arguments))
            self.most |= self.counted
        self.units += len(units)
        return found


@pytest.mark.parametrize("final", ["train", "train+val"])
def test_a_process_of_a_comparison_loads_and_decodes_once(
    final: str, folder: Path, weights: Path, tmp_path: Path, counted: Counter[str]
) -> None:
    protocol = protocol_of(str(weights), final=final)
    comparison = Comparison(
        data=str(folder), backbone=str(weights), protocol=protocol, recipe=RECIPE | {"epochs": 1}, trials=2
    )
    workers = InTurn(counted)
    methods = ["linear", "full", "vpt:num_prompts=2", "spt:num_prompts=2"]
    compare(comparison, methods, tmp_path / "out", seeds=3, workers=workers)  # type: ignore[arg-type]
    assert workers.units == 4 + 4 * 3
    assert workers.most.pop("backbone") == 1
    assert len(workers.most) == 30
    assert set(workers.most.values()) == {1}
    counted.clear()
    check_methods(comparison, methods)
    assert not +counted
