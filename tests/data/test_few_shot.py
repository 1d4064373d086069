"""Few images of each class, and halves of the classes: what is drawn, recorded and found again."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from conftest import write_image
from selfprompt.data.datasets import Dataset, Examples, Splits, with_splits
from selfprompt.data.protocol import Protocol
from selfprompt.data.recorded import image_names, splits_for
from selfprompt.data.sources import load_dataset
from selfprompt.errors import UserError

CLASSES = 5
PIXEL = np.zeros((1, 1, 3), dtype=np.uint8)


def numbered(each: int, start: int = 0) -> Examples:
    """So many images of each class, every one with its number in it."""
    labels = np.arange(CLASSES).repeat(each)
    return Examples([PIXEL.astype(np.int32) + start + i for i in range(len(labels))], labels)


def dataset(val: int = 0, test: int = 0) -> Dataset:
    names = tuple("abcde")
    return Dataset(
        "numbers", names, numbered(30), numbered(val, 1000) if val else None, numbered(test, 2000) if test else None
    )


def numbers(examples: Examples) -> list[int]:
    return [int(image.flat[0]) for image in examples.images]


def parts(splits: Splits) -> list[list[int]]:
    return [numbers(part) for part in (splits.train, splits.val, splits.test)]


@pytest.mark.parametrize("shots", [1, 2, 4, 8, 16])
@pytest.mark.parametrize("val", [0, 6, 2])
def test_so_many_of_each_class(shots: int, val: int) -> None:
    data, protocol = dataset(val), Protocol(shots=shots)
    splits = with_splits(data, protocol, seed=3)
    assert np.bincount(splits.train.known_labels).tolist() == [shots] * CLASSES
    assert np.bincount(splits.val.known_labels).tolist() == [min(shots, 4, val or 4)] * CLASSES
    train, held, test = parts(splits)
    assert len({*train, *held, *test}) == len(train) + len(held) + len(test)
    assert test == numbers(with_splits(data, Protocol()).test)  # whatever is trained on
    assert (min(held) >= 1000) == bool(val)
    assert parts(with_splits(data, protocol, seed=3)) == [train, held, test]
    assert numbers(with_splits(data, protocol, seed=4).train) != train
    assert set(train) <= set(numbers(with_splits(data, Protocol(shots=shots + 1), seed=3).train))
    assert parts(with_splits(data, Protocol(shots=shots, train_images=115), seed=3))[2] == test


@pytest.mark.parametrize(("val", "shots", "more"), [(0, 21, " and 4 for validation"), (2, 25, "")])
def test_a_class_with_too_few_is_named(val: int, shots: int, more: str) -> None:
    said = f"numbers has 24 image.s. of the class a .* --shots {shots} takes {shots} of each{more}: "
    with pytest.raises(UserError, match=said):
        with_splits(dataset(val), Protocol(shots=shots))
    with_splits(dataset(val), Protocol(shots=shots - 1))


def test_halves_make_the_whole() -> None:
    data = dataset(val=6)
    whole, base, new = (with_splits(data, Protocol(shots=2, classes=c), seed=1) for c in ("all", "base", "new"))
    assert (base.class_names, new.class_names) == (("a", "b", "c"), ("d", "e"))
    assert base.record == new.record == whole.record
    for split in ("train", "val", "test"):
        one, other = getattr(base, split), getattr(new, split)
        assert numbers(one) + numbers(other) == numbers(getattr(whole, split))
        assert set(one.known_labels) == {0, 1, 2}
        assert set(other.known_labels) == {0, 1}
        assert image_names(base, split) + image_names(new, split) == image_names(whole, split)
    three = Dataset("three", ("a", "b", "c"), Examples([PIXEL] * 30, np.arange(30) % 3))
    with pytest.raises(UserError, match=r"3 classes have no two in their new half: use --classes all, or data"):
        with_splits(three, Protocol(classes="new"))


@pytest.mark.parametrize("own_val", [True, False])
def test_what_was_drawn_is_found_again(own_val: bool, tmp_path: Path) -> None:
    root = tmp_path / "data"
    places = {"train": 12, "val": 6, "test": 3} if own_val else {"": 15}
    for split, count in places.items():
        for label, name in enumerate("abcd"):
            for i in range(count):
                write_image(root / split / name / f"{i}.png", label, i, size=2)
    protocol = Protocol(shots=2, classes="base")
    first = with_splits(load_dataset(root), protocol, seed=5)
    (tmp_path / "split.json").write_text(json.dumps(first.record), encoding="utf-8")

    def files(splits: Splits) -> list[list[str]]:
        return [[str(image) for image in part.images] for part in (splits.train, splits.val, splits.test)]

    assert files(splits_for(load_dataset(root), protocol, tmp_path)) == files(first)
    assert [str(root / name) for name in image_names(first, "test")] == files(first)[2]
    write_image(root / ("train" if own_val else "") / "a" / "99.png", 0, 99, size=2)
    again = splits_for(load_dataset(root), protocol, tmp_path)
    assert files(again) == files(first)
    assert again.val.known_labels.tolist() == [0, 0, 1, 1]
    bad = {**first.record, "val_drawn": [500]}
    (tmp_path / "split.json").write_text(json.dumps(bad), encoding="utf-8")
    (root / ("train" if own_val else "") / "a" / "99.png").unlink()
    with pytest.raises(UserError, match=r"damaged \(val_drawn has 500, which is no validation image\)"):
        splits_for(load_dataset(root), protocol, tmp_path)
