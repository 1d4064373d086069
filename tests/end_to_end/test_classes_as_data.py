"""Classes as data: a run on half of them answers for the other half by its names, where its head is of texts."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import selfprompt as sp
from selfprompt.errors import UserError
from selfprompt.runs.config import RunConfig
from selfprompt.runs.tune import tune
from selfprompt.tuning.records import Tested as Finished
from selfprompt.tuning.records import read_metrics
from tiny_clip import write_clip

CLASSES = ["a bird", "a cat", "a dog", "a photo", "the other"]
BASE, NEW = CLASSES[:3], CLASSES[3:]


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A folder of images, and a backbone."""
    root, rng = tmp_path_factory.mktemp("halves"), np.random.default_rng(0)
    for i, name in enumerate(CLASSES):
        (root / "images" / name).mkdir(parents=True)
        for k in range(10):
            pixels = rng.integers(0, 120, (32, 32, 3), dtype=np.uint8)
            pixels[6 * i : 6 * i + 6] += 100
            Image.fromarray(pixels).save(root / "images" / name / f"{k}.png")
    return str(root / "images"), f"open_clip:{write_clip(root / 'pair')}"


def run(places: tuple[str, str], out: Path, method: str, **more: Any) -> RunConfig:
    protocol = {"shots": 3, "classes": "base", **more}
    config = RunConfig.resolve(
        *places, method, recipe={"epochs": 2, "batch_size": 4}, protocol=protocol, seed=1, probe=False
    )
    tune(config, out, analysed=False)
    return config


@pytest.fixture(scope="module")
def coop(places: tuple[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("coop") / "run"
    run(places, out, "coop")
    return out


def test_a_base_run_answers_for_new_names(coop: Path, places: tuple[str, str], works: Callable[..., str]) -> None:
    data = places[0]
    assert sp.load(coop).class_names == BASE
    own = sp.evaluate(coop, data)
    found = {
        c: json.loads(works("evaluate", coop, data, "--classes", c, "--json")) for c in ("base", "new", "base,new")
    }
    assert found["base"]["test_accuracy"] == found["base"]["base_accuracy"] == own["test_accuracy"]
    new = read_metrics(coop, Finished).get("new_classes")
    assert new is not None
    assert (new["accuracy"], new["harmonic_mean"]) == (
        found["new"]["new_accuracy"],
        found["base,new"]["harmonic_mean"],
    )
    both = found["base,new"]
    assert (both["base_accuracy"], both["new_accuracy"]) == (own["test_accuracy"], found["new"]["new_accuracy"])
    assert both["harmonic_mean"] == statistics.harmonic_mean([both["base_accuracy"], both["new_accuracy"]])
    assert both["images"] == found["new"]["images"] + own["images"] == 10
    by_hand = sp.predict(coop, [Path(data) / name / f"{i}.png" for name in NEW for i in range(10)], class_names=NEW)
    test = json.loads((coop / "split.json").read_text(encoding="utf-8"))["test_files"]
    right = [
        Path(str(p["image"])).parent.name == p["label"] for p in by_hand if str(p["image"])[len(data) + 1 :] in test
    ]
    assert len(right) == 4
    assert found["new"]["test_accuracy"] == 100 * sum(right) / 4
    assert sp.evaluate(coop, data, classes="all")["images"] == 10


def test_an_adapter_alone_finds_its_splits(coop: Path, places: tuple[str, str], tmp_path: Path) -> None:
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        (tmp_path / name).write_bytes((coop / name).read_bytes())
    for split in ("train", "val", "test"):
        own, other = (dict(sp.evaluate(folder, places[0], split=split)) for folder in (coop, tmp_path))
        assert own | {"adapter": ""} == other | {"adapter": ""}
    model = sp.create_model(places[1], "zeroshot", class_names=CLASSES)
    model.save_pretrained(tmp_path / "zeroshot")
    assert "harmonic_mean" in sp.evaluate(tmp_path / "zeroshot", places[0], classes="base,new")


def test_resumed_it_is_the_same_run(coop: Path, places: tuple[str, str], tmp_path: Path) -> None:
    out, adapter = tmp_path / "run", (coop / "adapter_model.safetensors").read_bytes()
    config = run(places, out, "coop")
    assert (out / "adapter_model.safetensors").read_bytes() == adapter
    for name in ("metrics.json", "adapter_model.safetensors"):
        (out / name).unlink()
    tune(config, out, resume=True, analysed=False)
    assert (out / "adapter_model.safetensors").read_bytes() == adapter
    with pytest.raises(UserError, match=r"was trained with protocol .* choose another"):
        tune(
            config.model_copy(update={"protocol": config.protocol.model_copy(update={"shots": 2})}), out, resume=True
        )


@pytest.mark.parametrize(
    ("method", "words"), [("linear", "and no others"), ("coop:per_class=true", "say nothing of")]
)
def test_heads_that_know_their_own_classes_alone(
    method: str, words: str, places: tuple[str, str], tmp_path: Path, fails: Callable[..., str]
) -> None:
    out, data = tmp_path / "run", places[0]
    run(places, out, method)
    assert words in fails("evaluate", out, data, "--classes", "base,new")
    (tmp_path / "names.txt").write_text("one\ntwo\nthree\n", encoding="utf-8")
    image = Path(data) / "a cat" / "1.png"
    assert words in fails("predict", out, image, "--class-names", tmp_path / "names.txt")


def test_names_out_of_a_file(coop: Path, places: tuple[str, str], tmp_path: Path, works, fails) -> None:
    names, image = tmp_path / "names.txt", Path(places[0]) / "a cat" / "1.png"
    names.write_text("\ufeffthe cat\r\n\n  a bird \n", encoding="utf-8")
    (answer,) = json.loads(works("predict", coop, image, "--class-names", names, "--json"))["predictions"]
    assert answer["label"] in ("the cat", "a bird")
    names.write_text("\n".join(BASE), encoding="utf-8")
    same = json.loads(works("predict", coop, image, "--class-names", names, "--json"))
    assert same == json.loads(works("predict", coop, image, "--json"))
    for text, words in (("cat\n", "give two or more"), ("a cat\na cat\n", "have the same text: rename one")):
        names.write_text(text, encoding="utf-8")
        assert words in fails("predict", coop, image, "--class-names", names)
    assert "one class name a line" in fails("predict", coop, image, "--class-names", tmp_path / "none.txt")


def test_other_data_are_answered_where_their_classes_are_named(
    coop: Path, places: tuple[str, str], tmp_path: Path
) -> None:
    for i, name in enumerate(("horse", "ship")):
        (tmp_path / "test" / name).mkdir(parents=True)
        (tmp_path / "train" / name).mkdir(parents=True)
        for k, split in enumerate(("train", "train", "test")):
            Image.new("RGB", (32, 32), (90 * i, 50 * k, 0)).save(tmp_path / split / name / f"{k}.png")
    with pytest.raises(UserError, match="has other classes than"):
        sp.evaluate(coop, str(tmp_path))
    assert sp.evaluate(coop, str(tmp_path), classes="all")["images"] == 2


def test_trained_words_are_held_against_written_ones(places: tuple[str, str], tmp_path: Path) -> None:
    run(places, tmp_path / "zeroshot", "zeroshot")
    config = RunConfig.resolve(
        *places, "coop", recipe={"epochs": 1}, protocol={"shots": 3, "classes": "base"}, seed=1
    )
    tune(config, tmp_path / "coop", analysed=False)
    rivals = {one["rival"]: one for one in read_metrics(tmp_path / "coop", Finished).get("worth", [])}
    plain = read_metrics(tmp_path / "zeroshot", Finished)
    assert rivals["zero-shot classifier"].get("rival_test_accuracy") == plain["test_accuracy"]
    new = read_metrics(tmp_path / "coop", Finished).get("new_classes")
    assert new is not None
    assert new["zero_shot_accuracy"] == plain.get("new_classes", {}).get("accuracy")


def test_a_run_with_prompts_on_both_sides_is_looked_into(
    places: tuple[str, str], tmp_path: Path, works: Callable[..., str]
) -> None:
    out, words = tmp_path / "run", "coop:image_prompts=2"
    works("tune", places[0], "--backbone", places[1], "--method", words, "--epochs", "1", "--out", out, "--no-probe")
    assert "What prompts became" in (out / "report.html").read_text(encoding="utf-8")
