"""Folders and splits."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from conftest import write_image
from selfprompt.data.datasets import Dataset, Examples, with_splits
from selfprompt.data.protocol import Protocol
from selfprompt.data.sources import load_dataset
from selfprompt.data.splits import TooFew, cut_between
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


PIXEL = np.zeros((1, 1, 3), dtype=np.uint8)


def test_classes_that_look_alike_are_said(caplog: pytest.LogCaptureFixture) -> None:
    toy = labelled([0, 1, 2, 3] * 9)
    for names, said in ((("a", "b", "c", "d"), False), (("a", "caf\u00e9", "A", "cafe\u0301"), True)):
        caplog.clear()
        with_splits(dataclasses.replace(toy, class_names=names), Protocol())
        assert ("has the classes a and A (of 2 such pairs), which differ in case" in caplog.text) == said


def labelled(labels: list[int], **splits: list[int]) -> Dataset:
    """A data set of one pixel an image."""
    others = {name: Examples([PIXEL] * len(own), np.array(own)) for name, own in splits.items()}
    names = tuple(map(str, range(max(labels) + 1)))
    return Dataset("toy", names, Examples([PIXEL] * len(labels), np.array(labels)), **others)


@pytest.mark.parametrize(
    ("labels", "protocol", "digest"),
    [
        ([i % 3 for i in range(30)], {}, "6eb999a51d1c"),
        ([i % 3 for i in range(30)], {"split_seed": 5}, "cab3711363b7"),
        ([0] * 50 + [1] * 12 + [2] * 7, {}, "26c854d8a406"),
        ([0] * 50 + [1] * 12 + [2] * 7, {"test_fraction": 0.4, "val_fraction": 0.3}, "d6ff5453d660"),
        ([i % 250 for i in range(2500)], {}, "0d0f4cdf52c6"),
        ([i % 250 for i in range(2500)], {"train_images": 1250}, "9426e047178c"),
        ([i % 10 for i in range(5000)], {"train_images": 1000}, "e892497828d6"),
    ],
)
def test_what_can_be_stratified_is_cut_as_ever(labels: list[int], protocol: dict, digest: str) -> None:
    record = with_splits(labelled(labels), Protocol(**protocol)).record
    indices = json.dumps([record[name] for name in ("train", "val", "test")])
    assert hashlib.sha256(indices.encode()).hexdigest()[:12] == digest
    assert record["stratified"]


def shares(labels: list[int], protocol: Protocol, **splits: list[int]) -> tuple[dict[str, np.ndarray], dict]:
    """Images of each class in each split, after what holds of every cut was checked."""
    dataset = labelled(labels, **splits)
    found = with_splits(dataset, protocol)
    assert with_splits(dataset, protocol).record == found.record
    used = [i for name in ("train", *found.record["made"]) for i in found.record[name]]
    assert len(set(used)) == len(used)
    parts = {"train": found.train, "val": found.val, "test": found.test}
    counts = {name: np.bincount(part.labels, minlength=dataset.num_classes) for name, part in parts.items()}
    assert (counts["train"] > 0).all()
    for name in found.record["made"]:
        assert found.record.get(f"{name}_lacks", []) == [str(i) for i in np.flatnonzero(counts[name] == 0)]
    return counts, found.record


def test_more_classes_than_validation_images() -> None:
    labels = [i % 397 for i in range(1000)]
    counts, record = shares(labels, Protocol(), test=[0, 1])
    assert (counts["train"].sum(), counts["val"].sum(), record["stratified"]) == (800, 200, False)
    assert counts["val"].max() == 1
    skewed = [0] * 500 + [1 + i % 250 for i in range(500)]
    assert shares(skewed, Protocol(), test=[0])[0]["val"][0] == pytest.approx(100, abs=10)


def test_a_class_of_one_image_is_trained_on() -> None:
    counts, record = shares([0] * 20 + [1] * 20 + [2], Protocol())
    assert (counts["test"].sum(), counts["test"][2], record["stratified"]) == (9, 0, False)


@pytest.mark.parametrize("each", [2, 3, 4])
def test_few_shots_are_split(each: int) -> None:
    counts, record = shares([i // each for i in range(10 * each)], Protocol())
    assert counts["test"].sum() == 2 * each
    assert not record["stratified"]
    counts, record = shares([i // each for i in range(10 * each)], Protocol(), test=[0, 1])
    assert counts["val"].sum() == 2 * each
    counts, _ = shares([i % 10 for i in range(1000)], Protocol(train_images=10 * each))
    assert counts["train"].sum() + counts["val"].sum() == 10 * each


@pytest.mark.parametrize(
    ("labels", "protocol", "fix"),
    [
        ([0, 1, 2], {}, "add images, use a smaller --test-fraction or --val-fraction"),
        ([0, 0, 1, 1], {"test_fraction": 0.5}, "--val-fraction"),
        ([0, 1] * 50, {"train_images": 2}, "a larger --train-images"),
        ([i % 50 for i in range(500)], {"train_images": 20}, "a larger --train-images"),
    ],
)
def test_too_few_images_are_refused_with_the_fix(labels: list[int], protocol: dict, fix: str) -> None:
    with pytest.raises(UserError, match=fix):
        with_splits(labelled(labels), Protocol(**protocol))


@pytest.mark.parametrize("each", [1, 2, 3, 4])
def test_the_doctor_says_what_tune_would(tmp_path: Path, each: int) -> None:
    for label in range(6):
        for index in range(each):
            write_image(tmp_path / f"class{label}" / f"{index}.png", label, index)
    problems = check_data(str(tmp_path))[1]
    if each == 1:
        with pytest.raises(UserError) as refused:
            with_splits(load_dataset(tmp_path), Protocol())
        assert problems == [str(refused.value)]
    else:
        with_splits(load_dataset(tmp_path), Protocol())
        assert problems == []


def test_an_image_of_two_splits_is_refused(tmp_path: Path) -> None:
    for split in ("train", "val", "test"):
        for label in (0, 1):
            write_image(tmp_path / split / "ab"[label] / f"{split}.png", label, len(split))
    with_splits(load_dataset(tmp_path), Protocol())
    shutil.rmtree(tmp_path / "test")
    (tmp_path / "test").symlink_to(tmp_path / "val")
    with pytest.raises(UserError, match=r"val\.png are one file in two splits"):
        load_dataset(tmp_path)
    (tmp_path / "test").unlink()
    images = load_dataset(tmp_path)
    with pytest.raises(UserError, match=r"train\.png is a training image and a test image"):
        with_splits(dataclasses.replace(images, test=images.train), Protocol())


def test_labels_of_a_data_set_are_its_classes() -> None:
    with pytest.raises(UserError, match="1 of the toy's test images have the label 2"):
        with_splits(labelled([0, 1] * 9, test=[0, 2]), Protocol())


def test_the_doctor_names_everything_at_once(folder: Path) -> None:
    assert check_data(str(folder))[1] == []
    (folder / "ant" / "text.png").write_text("no image", encoding="utf-8")
    (folder / "bee" / "cut.png").write_bytes((folder / "bee" / "0.png").read_bytes()[:200])
    (folder / "dog").mkdir()
    problems = check_data(str(folder))[1]
    assert len(problems) == 3
    assert all(any(name in p for p in problems) for name in ("text.png", "cut.png", "dog"))


@pytest.mark.parametrize(
    ("groups", "share", "most"),
    [(1000, 0.01, 0.06), (100, 0.02, 0.06), (8, 0.05, 0.15), (4, 0.1, 0.3), (10, 0.99, 0.95)],
)
def test_a_small_share_of_groups_is_the_least_that_can_be_had(groups: int, share: float, most: float) -> None:
    owners = np.repeat(np.arange(groups), 4)
    labels = np.tile([0, 1], 2 * groups)
    left, off, _ = cut_between(labels, owners, np.arange(len(labels)), share, 0)
    part = len(off) / len(labels)
    assert 0 < part <= most if share < 0.5 else part > 0.5
    assert not set(owners[left]) & set(owners[off])


def test_groups_that_are_the_only_ones_of_a_class_stay() -> None:
    owners = np.concatenate([np.repeat(np.arange(50), 2), np.arange(50, 56)])
    labels = np.concatenate([np.zeros(100, dtype=np.int64), np.arange(1, 7)])
    left, off, stratified = cut_between(labels, owners, np.arange(106), 0.2, 0)
    assert not stratified
    assert set(labels[left]) == set(range(7))
    assert not set(owners[left]) & set(owners[off])
    assert 15 <= len(off) <= 27
    assert sorted([*left, *off]) == list(range(106))
    with pytest.raises(TooFew):
        cut_between(labels[99:], owners[99:], np.arange(7), 0.2, 0)
