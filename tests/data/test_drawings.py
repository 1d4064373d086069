"""Data sets whose classes a few words name, and digits that are shifted."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from selfprompt.data.datasets import with_splits
from selfprompt.data.protocol import Protocol
from selfprompt.data.sources import drawings, fashion, load_dataset, mnist5k_shift
from selfprompt.errors import UserError


def share(image: np.ndarray, colour: str) -> float:
    """Of the pixels that have a colour."""
    return float((np.abs(image.astype(int) - drawings.COLOURS[colour]).max(axis=-1) < 36).mean())


@pytest.mark.parametrize("part", drawings.RECORD.parts)
def test_every_class_is_drawn_equally_often_and_the_same_every_time(part: str) -> None:
    dataset = load_dataset(f"drawings/{part}")
    drawings.load.cache_clear()
    again = load_dataset(f"drawings/{part}")
    assert again is not dataset
    assert dataset.test is not None
    assert again.test is not None
    assert len(set(dataset.class_names)) == dataset.num_classes
    for split, other in ((dataset.train, again.train), (dataset.test, again.test)):
        assert np.bincount(split.labels).tolist() == [24] * dataset.num_classes
        assert all(np.array_equal(a, b) for a, b in zip(split.images, other.images))
    seen = {image.tobytes() for image in dataset.train.images}
    assert not any(image.tobytes() in seen for image in dataset.test.images)


def test_a_class_is_what_its_name_says() -> None:
    for part in ("colours", "pairs"):
        dataset = load_dataset(f"drawings/{part}")
        for image, label in zip(dataset.train.images, dataset.train.labels):
            assert share(image, dataset.class_names[label].split()[0]) > 0.02
    numbers = load_dataset("drawings/numbers").train
    for image, label in zip(numbers.images, numbers.labels):
        ground = np.median(image.reshape(-1, 3), axis=0)
        found: np.ndarray = ndimage.label(np.abs(image - ground).max(axis=-1) > 34)[0]  # type: ignore[index]
        assert (np.bincount(found.ravel())[1:] > 6).sum() == label + 1
    places = load_dataset("drawings/places").train
    for image, label in zip(places.images, places.labels):
        ground = np.median(image.reshape(-1, 3), axis=0)
        away = ndimage.gaussian_filter(np.abs(image - ground).max(axis=-1), 1) > 20
        rows, columns = np.nonzero(away)
        at = [int(3 * (np.median(where) + 0.5) / 64) for where in (columns, rows)]
        assert at == [label % 3, label // 3]


def test_pairs_are_those_that_the_built_in_model_never_saw(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    from builtin_clip import captions
    from builtin_clip import scenes as corpus

    expected = {f"{c} {s}" for c in captions.COLOURS for s in corpus.SHAPES if corpus.held_out(c, s)}
    assert set(load_dataset("drawings/pairs").class_names) == expected


def test_letters_are_tested_in_other_fonts() -> None:
    assert not set(drawings.FONTS["train"]) & set(drawings.FONTS["test"])


def test_shifted_digits_are_test_digits() -> None:
    splits = with_splits(load_dataset("mnist5k"), Protocol())
    seen = {np.asarray(image).tobytes() for image in splits.test.images}
    inverted = load_dataset("mnist5k-shift/inverted").test
    assert inverted is not None
    assert all((255 - image).tobytes() in seen for image in inverted.images)
    plain = [255 - image for image in inverted.images]
    for part in mnist5k_shift.RECORD.parts:
        shifted = load_dataset(f"mnist5k-shift/{part}").test
        assert shifted is not None
        assert np.bincount(shifted.labels).tolist() == [20] * 10
        assert all(not np.array_equal(a, b) for a, b in zip(shifted.images, plain))


def test_fashion_is_read_from_debians_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fashion, "ROOT", tmp_path / "gone")
    fashion.load.cache_clear()
    with pytest.raises(UserError, match="apt-get install dataset-fashion-mnist"):
        load_dataset("fashion/whole")
    monkeypatch.setattr(fashion, "ROOT", tmp_path)
    monkeypatch.setattr(fashion, "SMALL", {"train": 2, "t10k": 1})
    for name, count in (("train", 40), ("t10k", 20)):
        images = np.arange(count, dtype=np.uint8).repeat(28 * 28)
        (tmp_path / f"{name}-images-idx3-ubyte.gz").write_bytes(gzip.compress(bytes(16) + images.tobytes()))
        labels = np.arange(count, dtype=np.uint8) % 10
        (tmp_path / f"{name}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(bytes(8) + labels.tobytes()))
    whole, small = load_dataset("fashion/whole"), load_dataset("fashion/small")
    fashion.load.cache_clear()
    assert [len(split) for split in (whole.train, whole.test, small.train, small.test)] == [40, 20, 20, 10]  # type: ignore[arg-type]
    assert (np.asarray(small.train.images[11]) == 11).all()
    assert whole.class_names[9] == "ankle boot"
