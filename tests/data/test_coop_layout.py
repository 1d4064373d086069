"""CoOp's layout: its split files, folders and class names, on trees made here; what is missing is named."""

from __future__ import annotations

import json
import os
import statistics
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from selfprompt.comparison.bench import bench
from selfprompt.comparison.suites import SUITES
from selfprompt.comparison.workers import Workers
from selfprompt.data.datasets import with_splits
from selfprompt.data.protocol import Protocol
from selfprompt.data.sources import coop11, imagenet_shift, load_dataset
from selfprompt.data.views.image import prepare_image
from selfprompt.doctor import check_tasks
from selfprompt.errors import UserError

ZHOU = [part for part, task in coop11.TASKS.items() if task.split]
NAMES = ["a bird", "a cat", "a dog", "a photo"]
WORDS = [f"n0000000{i}" for i in range(4)]
SIZES = {"train": 5, "val": 2, "test": 2}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where data are looked for; the data sets have four classes here, A and R two."""
    monkeypatch.setenv("SELFPROMPT_DATA", str(tmp_path / "data"))
    few = {"classes": 4, "train": 20, "val": 8, "test": 8}
    for part, task in coop11.TASKS.items():
        monkeypatch.setitem(coop11.TASKS, part, replace(task, **(few | {"val": 0} if part == "imagenet" else few)))
    for part, variant in imagenet_shift.VARIANTS.items():
        classes = 2 if part in "ar" else 4
        monkeypatch.setitem(imagenet_shift.VARIANTS, part, replace(variant, classes=classes, test=3 * classes))
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


def image(path: Path, label: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((8, 8, 3), 50 * label + 10, dtype=np.uint8)).save(path)


def split_tree(root: Path, part: str) -> Path:
    """A data set with a split file; labels are listed from the last class on."""
    task = coop11.TASKS[part]
    home = root / task.folder
    listed: dict[str, list[Any]] = {split: [] for split in SIZES}
    for label in reversed(range(4)):
        for split, count in SIZES.items():
            for i in range(count):
                path = f"{NAMES[label]}/{split} {i}.png"
                image(home / task.images / path, label)
                listed[split].append([path, label, NAMES[label]])
    (home / f"split_zhou_{task.split}.json").write_text(json.dumps(listed), encoding="utf-8")
    return home


def word_tree(home: Path, images: dict[str, int], folders: list[str]) -> None:
    """Folders of images called like classes, beside classnames.txt."""
    for below, count in images.items():
        for label, folder in enumerate(folders):
            for i in range(count):
                image(home / below / folder / f"{i}.png", label)
    lines = [f"{word} {name}\n" for word, name in zip(WORDS, NAMES)]
    (home / "classnames.txt").write_text("".join(lines), encoding="utf-8")


def imagenet_tree(root: Path) -> None:
    word_tree(root / "imagenet", {"images/train": 5, "images/val": 2}, WORDS)


def shift_trees(root: Path) -> None:
    for part, variant in imagenet_shift.VARIANTS.items():
        folders = {"v2": [str(i) for i in range(4)], "sketch": WORDS}.get(part, WORDS[1:3])
        word_tree(root / variant.folder, {variant.images: 3}, folders)


@pytest.mark.parametrize("part", ZHOU)
def test_split_files(part: str, root: Path) -> None:
    home = split_tree(root, part)
    found = load_dataset(f"coop11/{part}")
    assert found.class_names == tuple(NAMES)
    for split, count in SIZES.items():
        own = found.own[split]
        assert np.bincount(own.known_labels).tolist() == [count] * 4
        for path, label in zip(own.images, own.known_labels):
            assert Path(str(path)).parent.name == NAMES[label]
    splits = with_splits(found, Protocol(shots=4, classes="new"))
    assert [len(s) for s in (splits.train, splits.val, splits.test)] == [8, 4, 4]
    assert splits.class_names == ("a dog", "a photo")
    (home / f"split_zhou_{coop11.TASKS[part].split}.json").unlink()
    with pytest.raises(UserError, match=rf"coop11/{part}: .*split_zhou_{coop11.TASKS[part].split}.json is missing"):
        load_dataset(f"coop11/{part}")


def test_aircrafts_own_lists(root: Path) -> None:
    home = root / "fgvc_aircraft"
    variants = ["707-320", "DHC-8-100", "A 340", "Spitfire"]
    home.mkdir()
    (home / "variants.txt").write_text("\n".join(variants) + "\n", encoding="utf-8")
    for split, count in SIZES.items():
        lines = [(f"{split}{label}{i}", label) for label in (2, 0, 3, 1) for i in range(count)]
        for name, label in lines:
            image(home / "images" / f"{name}.jpg", label)
        text = "".join(f"{name} {variants[label]}\n" for name, label in lines)
        (home / f"images_variant_{split}.txt").write_text(text, encoding="utf-8")
    found = load_dataset("coop11/aircraft")
    assert found.class_names == tuple(variants)
    assert found.train.known_labels.tolist() == [label for label in (2, 0, 3, 1) for _ in range(5)]
    (home / "images_variant_val.txt").write_text("1 Concorde\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"images_variant_val.txt is damaged .Concorde is not in variants.txt"):
        load_dataset("coop11/aircraft")


def test_imagenet_and_what_is_shifted(root: Path) -> None:
    imagenet_tree(root)
    shift_trees(root)
    found = load_dataset("coop11/imagenet")
    assert found.class_names == tuple(NAMES)
    assert found.val is None
    splits = with_splits(found, Protocol(shots=2))
    assert [len(s) for s in (splits.train, splits.val, splits.test)] == [8, 8, 8]
    for part in imagenet_shift.VARIANTS:
        shifted = load_dataset(f"imagenet-shift/{part}")
        assert shifted.class_names == (tuple(NAMES[1:3]) if part in "ar" else tuple(NAMES))
        assert len(shifted.train) == 0
        assert shifted.test is not None
        assert shifted.test.known_labels.tolist() == np.arange(shifted.num_classes).repeat(3).tolist()
    names = (root / "imagenet" / "classnames.txt").read_text(encoding="utf-8").splitlines()
    more = "\nn03773504 missile\nn04008634 missile\nn04355933 sunglasses\nn04356056 sunglasses\n"
    (root / "imagenet" / "classnames.txt").write_text("\n".join(names) + more, encoding="utf-8")
    for word in ("n03773504", "n04008634"):
        for split, count in (("train", 5), ("val", 2)):
            for i in range(count):
                image(root / "imagenet" / "images" / split / word / f"{i}.png", 0)
    coop11.TASKS["imagenet"] = replace(coop11.TASKS["imagenet"], classes=6, train=30, test=12)
    assert load_dataset("coop11/imagenet").class_names[4:] == ("missile", "projectile")
    (root / "imagenet" / "images" / "val" / "n99999999").mkdir()
    with pytest.raises(UserError, match=r"coop11/imagenet: .*n99999999 is no class of classnames.txt: remove"):
        load_dataset("coop11/imagenet")


def test_the_doctor_names_every_file_that_is_missing(root: Path, call: Callable[..., tuple[int, str, str]]) -> None:
    home = split_tree(root, "dtd")
    os.rename(home / "images", home / "pictures")
    split_tree(root, "eurosat")
    (root / "oxford_pets").mkdir()
    code, out, _ = call("doctor", "coop11", "--root", root, "--json")
    found = json.loads(out)
    assert code == 2
    assert found["coop11/eurosat"] == "20 train, 8 val, 8 test"
    assert len(found["problems"]) == 10
    for words in (
        "coop11/imagenet was not found",
        f"coop11/dtd: {home / 'images'} is missing",
        f"coop11/pets: {root / 'oxford_pets' / 'split_zhou_OxfordPets.json'} is missing",
    ):
        assert any(words in problem for problem in found["problems"])
    shift_trees(root)
    facts, problems = check_tasks([f"imagenet-shift/{part}" for part in imagenet_shift.VARIANTS])
    assert problems == []
    assert facts["imagenet-shift/a"] == "0 train, 0 val, 6 test"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"val": [["x.png", "one", "a cat"]]}, "val.0.1"),
        ({"test": [["x.png", 1, "a horse"]]}, "class 1 is a cat and a horse"),
        ({"train": None}, "train"),
    ],
)
def test_a_damaged_split_file(change: dict[str, Any], words: str, root: Path) -> None:
    home = split_tree(root, "dtd")
    path = home / "split_zhou_DescribableTextures.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | change), encoding="utf-8")
    with pytest.raises(UserError, match=rf"DescribableTextures.json is damaged \(.*{words}.*\): download it again"):
        load_dataset("coop11/dtd")


def small(name: str, preset: str, groups: dict[str, tuple[str, ...]], backbone: str) -> Any:
    whole = SUITES[name][preset]
    protocol = whole.protocol | {"image_size": 32, "shots": 2, "val_fraction": 0.4}
    recipe = {"epochs": 1, "batch_size": 4}
    return replace(whole, groups=groups, backbone=backbone, protocol=protocol, recipe=recipe, trials=1)


def test_benchmarks_print_base_new_and_shifted(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tiny_clip import write_clip

    monkeypatch.setattr(Workers, "run", lambda self, units: [unit.work(*unit.arguments) for unit in units])
    backbone = f"open_clip:{write_clip(tmp_path / 'pair')}"
    for part in ("dtd", "eurosat"):
        split_tree(root, part)
    suite = small("coop11", "cocoop2022", {"base": ("coop11/dtd", "coop11/eurosat")}, backbone)
    table = bench(suite, ["coop", "linear", "zeroshot"], tmp_path / "out", seeds=2)
    coop, linear, zeroshot = table["results"]
    assert coop["tasks"]["coop11/dtd"]["method_fields"]["words"] == "a photo of a"
    assert "also" not in linear
    assert zeroshot["trainable_parameters"] == zeroshot["test_accuracy_std"] == 0
    assert zeroshot["also"]["new"][0] == zeroshot["also"]["new"][1]
    runs = (tmp_path / "out" / "coop11-dtd" / "runs" / "coop").glob("seed-*/split.json")
    drawn = [json.loads(path.read_text(encoding="utf-8"))["train"] for path in sorted(runs)]
    assert len(drawn) == 2
    assert drawn[0] != drawn[1]  # each seed's own shots
    tasks = list(coop["tasks"].values())
    for seed in range(2):
        base, new = (
            statistics.mean(values[seed] for values in v)
            for v in ([t["test_accuracies"] for t in tasks], [t["also"]["new"] for t in tasks])
        )
        assert coop["also"]["new"][seed] == new
        assert coop["also"]["H"][seed] == pytest.approx(statistics.harmonic_mean([base, new]))
    text = (tmp_path / "out" / "table.md").read_text(encoding="utf-8")
    assert " new " in text
    assert " H " in text
    for path in (tmp_path / "out").glob("*/comparison.json"):  # as from before a field came
        old = json.loads(path.read_text(encoding="utf-8"))
        old["protocol"].pop("value_range")
        path.write_text(json.dumps(old), encoding="utf-8")
    again = bench(suite, ["coop", "linear", "zeroshot"], tmp_path / "out", seeds=2)
    assert again["results"] == table["results"]

    imagenet_tree(root)
    shift_trees(root)
    suite = small("imagenet-shift", "coop2022", {"imagenet": ("coop11/imagenet",)}, backbone)
    (coop,) = bench(suite, ["coop"], tmp_path / "shift", seeds=1)["results"]
    also = coop["also"]
    assert list(also) == [*(f"imagenet-shift/{part}" for part in ("v2", "sketch", "a", "r")), "shifted"]
    assert also["shifted"] == [statistics.mean(own[0] for what, own in also.items() if what != "shifted")]


def test_the_transforms_of_2021_lose_the_aspect_ratio() -> None:
    pixels = np.zeros((40, 80, 3), dtype=np.uint8)
    pixels[:, :20] = 255  # the left quarter
    presets = SUITES["coop11"]
    first, later = (Protocol(**(presets[p].protocol | {"image_size": 20})) for p in ("coop2021", "coop2022"))
    assert len({Protocol(**preset.protocol).hash for preset in presets.values()}) == 3
    image = Image.fromarray(pixels)
    assert prepare_image(image, first).mean() == pytest.approx(255 / 4, rel=0.1)
    assert prepare_image(image, later).mean() < 20

    def mean(protocol: Protocol, picture: Image.Image) -> float:
        return float(np.mean([prepare_image(picture, protocol, np.random.default_rng(s)).mean() for s in range(200)]))

    squashed = image.resize((20, 20), Image.Resampling.BICUBIC)
    assert mean(first, image) == mean(later, squashed)
    assert mean(first, image) != mean(later, image)
