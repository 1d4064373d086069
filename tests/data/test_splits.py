"""Folders and splits."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from conftest import write_image
from selfprompt.data.datasets import Examples, as_examples, with_splits
from selfprompt.data.protocol import Protocol
from selfprompt.data.sources import load_dataset
from selfprompt.doctor import check_data
from selfprompt.errors import UserError


def test_a_flat_folder_is_split_by_class_and_recorded(folder: Path) -> None:
    dataset = load_dataset(folder)
    assert dataset.class_names == ("ant", "bee", "cow")
    splits = with_splits(dataset, Protocol())
    parts = [splits.train, splits.val, splits.test]
    assert [len(p) for p in parts] == [19, 5, 6]
    assert np.bincount(splits.test.labels).tolist() == [2, 2, 2]
    assert len({str(i) for p in parts for i in p.images}) == 30
    record = splits.record
    assert sorted(record["train"] + record["val"] + record["test"]) == list(range(30))
    assert record["made"] == ["test", "val"]
    again = with_splits(dataset, Protocol())
    assert [str(i) for i in again.val.images] == [str(i) for i in splits.val.images]
    other = with_splits(dataset, Protocol(split_seed=1))
    assert [str(i) for i in other.val.images] != [str(i) for i in splits.val.images]


def test_split_folders_are_taken_as_they_are(tmp_path: Path) -> None:
    for split, count in (("train", 4), ("valid", 2), ("test", 3)):
        for label, name in enumerate(("a", "b")):
            for index in range(count):
                write_image(tmp_path / split / name / f"{index}.png", label, index)
    splits = with_splits(load_dataset(tmp_path), Protocol())
    assert [len(s) for s in (splits.train, splits.val, splits.test)] == [8, 4, 6]
    assert splits.record["made"] == []
    shutil.rmtree(tmp_path / "test" / "b")
    assert len(with_splits(load_dataset(tmp_path), Protocol()).test) == 3


def test_few_labelled_images_as_in_vtab() -> None:
    splits = with_splits(load_dataset("mnist5k"), Protocol(train_images=1000))
    assert [len(s) for s in (splits.train, splits.val, splits.test)] == [800, 200, 1000]
    assert np.bincount(splits.train.labels).tolist() == [80] * 10
    indices = splits.record
    assert len({*indices["train"], *indices["val"], *indices["test"]}) == 2000


def test_embedded_sets_have_their_classes() -> None:
    for name, images, classes in (("mnist5k", 5000, 10), ("digits", 1797, 10)):
        dataset = load_dataset(name)
        assert (len(dataset.train), dataset.num_classes) == (images, classes)
        assert set(dataset.train.labels.tolist()) == set(range(classes))


def test_elpv_has_its_four_classes() -> None:
    pytest.importorskip("elpv_dataset")
    dataset = load_dataset("elpv")
    assert len(dataset.train) == 2624
    assert np.bincount(dataset.train.labels).sum() == 2624
    assert dataset.licence == "CC BY-NC-SA 4.0"


def test_hub_splits_become_ours() -> None:
    datasets = pytest.importorskip("datasets")
    from selfprompt.data.sources.hub import from_splits

    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["x", "y"])})
    rows = {"image": [np.full((4, 4, 3), v, dtype=np.uint8) for v in (0, 50, 100)], "label": [0, 1, 0]}
    table = datasets.Dataset.from_dict(rows, features=features)
    dataset = from_splits("hf:toy", {"train": table, "validation": table})
    assert (dataset.class_names, len(dataset.train), dataset.test) == (("x", "y"), 3, None)
    with pytest.raises(UserError, match="no class-label column"):
        from_splits("hf:toy", {"train": table.remove_columns("label")})


def test_pairs_are_taken_for_examples() -> None:
    pixels = np.zeros((4, 4, 3), dtype=np.uint8)
    examples = as_examples([(pixels, 1), (pixels, 0)])
    assert isinstance(examples, Examples)
    assert examples.labels.tolist() == [1, 0]


def test_the_doctor_names_everything_at_once(folder: Path) -> None:
    assert check_data(str(folder))[1] == []
    (folder / "ant" / "text.png").write_text("no image", encoding="utf-8")
    (folder / "bee" / "cut.png").write_bytes((folder / "bee" / "0.png").read_bytes()[:200])
    (folder / "dog").mkdir()
    _, problems = check_data(str(folder))
    assert len(problems) == 3
    assert all(any(name in p for p in problems) for name in ("text.png", "cut.png", "dog"))
