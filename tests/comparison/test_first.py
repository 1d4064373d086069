"""Runs that others of a benchmark start from: made once, where one is asked for, and really started from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from selfprompt.comparison.bench import bench, task_of
from selfprompt.comparison.compare import check_methods
from selfprompt.comparison.suites import SUITES, Suite
from selfprompt.data.sources import load_dataset
from tiny_models import WORDS, make_model, tokenizer

WEIGHTS = "adapter_model.safetensors"


@pytest.mark.parametrize("suite", SUITES["mini-text"].values(), ids=SUITES["mini-text"])
def test_every_arm_of_the_small_benchmark_of_texts_is_trained_alike(suite: Suite) -> None:
    tasks = [data for group in suite.groups.values() for data in group]
    assert len(tasks) >= 8
    comparison = task_of(suite, tasks[0])
    check_methods(comparison, suite.methods)
    assert comparison.protocol.val_shots == comparison.protocol.shots
    recipes = [comparison.run(spec).recipe.model_dump(exclude={"lr"}) for spec in suite.methods]
    assert all(recipe == recipes[0] for recipe in recipes)
    assert all("mini-text" in comparison.run(spec).method.rates for spec in suite.methods if spec != "linear")


def test_prompts_are_first_trained_on_words_that_name_no_class() -> None:
    suite = SUITES["mini-text"]["k32"]
    names = {name for group in suite.groups.values() for data in group for name in load_dataset(data).class_names}
    assert {data.partition("#")[0] for _, data in suite.first.values()} == {"single:wordnet-mini"}
    for _, data in suite.first.values():
        assert not names & set(load_dataset(data).class_names)


def test_first_runs_are_made_once_and_started_from(tmp_path: Path) -> None:
    make_model("BertForMaskedLM").save_pretrained(tmp_path / "model")
    tokenizer().save_pretrained(tmp_path / "model")
    rng, data = np.random.default_rng(0), tmp_path / "data.csv"
    rows = [f"{' '.join(rng.choice(WORDS[8:], 5))} {WORDS[6 + i % 2]},{('good', 'bad')[i % 2]}\n" for i in range(60)]
    data.write_text(f"text,label\n{''.join(rows)}", encoding="utf-8")
    suite = Suite(
        name="words",
        groups={"own": (str(data),)},
        backbone=f"text:{tmp_path / 'model'}",
        protocol={"shots": 4, "val_shots": 4},
        recipe={"epochs": 1, "batch_size": 4},
        fields={"num_prompts": 3},
        trials=1,
        first={name: ("ppt:epochs=1", str(data)) for name in ("one", "other")},
    )
    out, started = tmp_path / "out", "ppt:start=one:frozen_prompts=true:answers=linear"
    bench(suite, [started], out, seeds=1)
    assert [path.name for path in (out / "first").iterdir()] == ["one"]
    weights = out / "first" / "one" / WEIGHTS
    written = weights.stat().st_mtime_ns
    (row,) = bench(suite, [started], out, seeds=2)["results"]
    assert (row["method"], row["seeds"]) == (started, 2)
    assert weights.stat().st_mtime_ns == written
    prompts = load_file(weights)["towers.text.insertion.prompts"]
    for seed in (0, 1):
        (run,) = out.glob(f"*/runs/ppt*/seed-{seed}")
        assert torch.equal(load_file(run / WEIGHTS)["towers.text.insertion.prompts"], prompts)
