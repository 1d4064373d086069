"""The packaged pair of towers: what runs without DATA, offline."""

from __future__ import annotations

from pathlib import Path

import selfprompt as sp
from selfprompt.backbones.builtin_clip import FOLDER
from selfprompt.runs.config import RunConfig
from selfprompt.runs.tune import tune


def test_it_is_small_and_is_what_methods_of_class_texts_run_on() -> None:
    assert sum(file.stat().st_size for file in FOLDER.iterdir()) < 8e6
    for method in ("coop", "cocoop", "subpt", "zeroshot"):
        config = RunConfig.resolve(method=method)
        assert (config.backbone, config.data, config.protocol.shots) == ("builtin-clip", "mnist5k", 16)
    assert RunConfig.resolve(method="spt").backbone == "builtin"
    assert RunConfig.resolve(data="mnist5k", method="coop", backbone="builtin-clip").recipe.epochs == 200


def test_a_context_of_half_of_the_digits_answers_for_the_rest(tmp_path: Path) -> None:
    config = RunConfig.resolve(method="coop", protocol={"classes": "base"}, recipe={"epochs": 5}, probe=False)
    tune(config, tmp_path / "run", analysed=False)
    assert (tmp_path / "run" / "adapter_model.safetensors").stat().st_size < 100_000
    found = dict(sp.evaluate(tmp_path / "run", "mnist5k", classes="base,new"))
    assert found["base_accuracy"] > 50
    assert found["new_accuracy"] > 20
