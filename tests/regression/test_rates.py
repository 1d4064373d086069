"""The rates of the packaged settings are those that results were made with."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from selfprompt.comparison.bench import task_of
from selfprompt.comparison.compare import open_folder
from selfprompt.comparison.suites import MINI
from selfprompt.errors import UserError
from selfprompt.runs.config import RunConfig

EMBEDDED_AND_MINI = {
    "linear": (3.2e-2, 3e-2),
    "full": (1e-3, 1e-3),
    "bias": (1e-2, 1e-2),
    "lora": (1e-2, 1e-2),
    "vpt": (1e-1, 1e-1),
    "spt": (3.2e-2, 1e-1),
    "pc": (1e-1, 1e-1),
    "gatevpt": (1e-1, 1e-1),
    "cvpt": (1e-1, 1e-1),
    "vfpt": (3.2e-2, 1e-1),
    "e2vpt": (3.2e-1, 1e-1),
    "apt": (5e-4, 1e-1),
    "spt:frozen_prompts=true": (3.2e-2, 3e-2),
}


@pytest.mark.parametrize("spec", EMBEDDED_AND_MINI)
def test_rates(spec: str) -> None:
    runs = RunConfig.resolve(method=spec), task_of(MINI, "mnist5k").run(spec)
    assert tuple(run.recipe.lr for run in runs) == EMBEDDED_AND_MINI[spec]


def test_a_rate_of_the_users_beats_them() -> None:
    assert RunConfig.resolve(recipe={"lr": 0.5}).recipe.lr == 0.5
    assert task_of(MINI, "mnist5k", recipe={"lr": 0.5}).run("spt").recipe.lr == 0.5


def test_a_comparison_whose_file_lists_the_rates_goes_on(tmp_path: Path) -> None:
    comparison = task_of(MINI, "mnist5k")
    for there, new in (({"vpt": 0.1}, comparison), ({}, comparison.model_copy(update={"rates": None}))):
        settings = new.model_dump(mode="json") | {"rates": there}
        (tmp_path / "comparison.json").write_text(json.dumps(settings), encoding="utf-8")
        open_folder(new, tmp_path)
    with pytest.raises(UserError, match="another rates"):
        open_folder(comparison, tmp_path)
