"""What tested runs are evaluated on besides, and fields of a recipe in a method's spec."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from selfprompt.comparison import beyond
from selfprompt.comparison.bench import bench, task_of
from selfprompt.comparison.beyond import asked_of, derived
from selfprompt.comparison.compare import at, check_methods
from selfprompt.comparison.search import Point
from selfprompt.comparison.suites import SUITES, Suite
from selfprompt.errors import UserError
from selfprompt.heads.linear import LinearHead
from selfprompt.methods import make_method
from selfprompt.runs.config import RunConfig
from selfprompt.tuning.records import Tested as Finished
from selfprompt.tuning.records import read_metrics
from tiny_clip import write_clip


def test_means_and_harmonic_means_are_by_seed_and_by_adaptation() -> None:
    also = {"new": [50.0, 100.0], "a": [10.0, 20.0], "b": [30.0, 40.0], "a, tpt": [1.0, 2.0], "b, tpt": [3.0, 6.0]}
    found = derived([100.0, 100.0], also)
    assert found["H"] == pytest.approx([200 / 3, 100.0])
    assert found["shifted"] == [20.0, 30.0]
    assert found["shifted, tpt"] == [2.0, 4.0]
    assert derived([100.0, 100.0], found) == found
    assert derived([1.0], {}) == {}


def test_every_data_set_is_asked_plainly_and_adapted() -> None:
    asked = asked_of("digits", "base", ("mnist5k", "folder"), ("tpt", "averaging"))
    assert asked["new"] == ("digits", "new", None)
    assert list(asked)[1:4] == ["mnist5k", "mnist5k, tpt", "mnist5k, averaging"]
    assert asked["mnist5k, tpt"] == ("name:mnist5k", "all", "tpt")
    assert asked["folder"] == ("folder", "all", None)
    assert "new" not in asked_of("digits", "all", (), ())


def test_a_spec_may_say_its_recipe() -> None:
    config = RunConfig.resolve("digits", "builtin", "vpt:epochs=3:num_prompts=2:lr=0.5", recipe={"epochs": 7})
    assert (config.recipe.epochs, config.recipe.lr, config.method.describe()["num_prompts"]) == (3, 0.5, 2)
    with pytest.raises(UserError, match="epochs"):
        RunConfig.resolve("digits", "builtin", "vpt:epochs=0")
    with pytest.raises(UserError, match="has no epoch"):
        RunConfig.resolve("digits", "builtin", "vpt:epoch=3")


def test_a_constant_rate_stays_constant_wherever_it_is_changed() -> None:
    method = make_method("ppt", start="elsewhere")
    assert method.recipe_with("clip", {}).min_lr == method.recipe_with("clip", {}).lr
    changed = method.recipe_with("clip", {"lr": 0.5})
    assert changed.min_lr == changed.lr == 0.5
    assert method.recipe_with("clip", {"lr": 0.5, "min_lr": 0.1}).min_lr == 0.1
    assert at(changed, Point(0.2)).min_lr == 0.2
    falling = make_method("vpt").recipe_with("mae", {"lr": 0.5})
    assert at(falling, Point(0.2)).min_lr == falling.min_lr < 0.1


@pytest.mark.parametrize("suite", SUITES["mini-clip"].values(), ids=SUITES["mini-clip"])
def test_the_small_image_text_benchmarks_methods_can_be_run(suite: Suite) -> None:
    comparison = task_of(suite, "mnist5k")
    check_methods(comparison, suite.methods)
    assert comparison.run("coop:epochs=10").recipe.epochs == 10
    assert comparison.run("coop").recipe.lr == 0.06
    for spec in suite.methods:
        described = comparison.run(spec).method.describe()
        assert described["template"] == "a photo of a {}"
        assert described.get("ending", "") == ""


def test_coops_data_sets_are_asked_for_by_its_texts() -> None:
    suite = next(iter(SUITES["coop11"].values()))
    asked = {
        data: task_of(suite, data, "builtin-clip").run("zeroshot").method.describe()["template"]
        for data in suite.texts
    }
    assert asked["coop11/dtd"] == "{} texture."
    assert asked["coop11/pets"] == "a photo of a {}, a type of pet."
    assert asked["coop11/imagenet"] == "a photo of a {}."


def test_a_benchmark_asks_for_new_classes_and_adapts(tmp_path: Path) -> None:
    rng, names = np.random.default_rng(0), ["a bird", "a cat", "a dog", "a photo"]
    for i, name in enumerate(names):
        (tmp_path / "images" / name).mkdir(parents=True)
        for k in range(10):
            pixels = rng.integers(0, 120, (32, 32, 3), dtype=np.uint8)
            pixels[6 * i : 6 * i + 6] += 100
            Image.fromarray(pixels).save(tmp_path / "images" / name / f"{k}.png")
    data = str(tmp_path / "images")
    suite = Suite(
        name="words",
        groups={"own": (data,)},
        backbone=f"open_clip:{write_clip(tmp_path / 'pair')}",
        protocol={"shots": 2, "classes": "base"},
        recipe={"epochs": 2, "batch_size": 4},
        trials=1,
        also=(data,),
        adapt=("averaging:views=2",),
    )
    specs = ["zeroshot", "coop:nfl_names=new", "linear"]
    zero, coop, linear = bench(suite, specs, tmp_path / "out", seeds=2)["results"]
    assert set(zero["also"]) == {
        "new",
        data,
        f"{data}, averaging:views=2",
        "H",
        "shifted",
        "shifted, averaging:views=2",
    }
    assert all(len(own) == 2 for own in coop["also"].values())
    runs = [read_metrics(path.parent, Finished) for path in sorted((tmp_path / "out").rglob("also.json"))]
    words = [run for run in runs if run["method"] != "linear"]
    assert len(words) == 4
    for run in words:
        assert "new_classes" in run
        assert run["new_classes"]["accuracy"] in (coop if run["method"] == "coop" else zero)["also"]["new"]
        if run["method"] == "zeroshot":
            assert run["new_classes"]["accuracy"] == run["new_classes"]["zero_shot_accuracy"]
    assert "also" not in linear
    assert zero["also"]["shifted"] == zero["also"][data]
    description = coop["tasks"][data]["method_fields"]
    assert description["nfl_names"] == ["a dog", "a photo"]


def test_a_head_that_knows_no_other_classes_is_asked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = []

    def load(folder: Path) -> SimpleNamespace:
        loaded.append(folder)
        return SimpleNamespace(head=LinearHead(2, 2))

    monkeypatch.setattr(beyond, "load", load)
    asked: dict[str, beyond.Asked] = {"new": ("data", "new", None)}
    tested: Any = {}
    assert [beyond.evaluated(tmp_path, asked, tested) for _ in range(2)] == [{}, {}]
    assert loaded == [tmp_path]
