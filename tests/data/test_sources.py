"""The packaged and generated data sets: exact labels, and nothing of the test in the training images."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from selfprompt.data.sources import load_dataset, names, photos, scenes
from selfprompt.errors import UserError


def shapes_of(image: np.ndarray) -> list[tuple[np.ndarray, int]]:
    """Centre (x, y in shares of the side) and pixels of every bright shape."""
    ground = np.median(image.reshape(-1, 3), axis=0)
    smooth = ndimage.gaussian_filter(image.astype(float), (0.5, 0.5, 0))
    labelled: Any = ndimage.label((smooth - ground).max(axis=-1) > 20)
    found, count = labelled
    places = ndimage.center_of_mass(found > 0, found, range(1, count + 1))
    sizes = ndimage.sum(found > 0, found, range(1, count + 1))
    return [((np.array(place)[::-1] + 0.5) / 64, int(n)) for place, n in zip(places, sizes) if n > 6]


def examples(part: str, count: int = 60) -> list[tuple[np.ndarray, int]]:
    rng = np.random.default_rng(5)
    return [(scenes.draw_scene(part, i % 6, np.random.default_rng(rng.integers(10**9))), i % 6) for i in range(count)]


def test_counts_are_exact() -> None:
    assert all(len(shapes_of(image)) == label + 1 for image, label in examples("count"))


def test_distances_are_exact() -> None:
    for image, label in examples("distance"):
        found = shapes_of(image)
        if len(found) == 2:  # else they touch
            distance = np.linalg.norm(found[0][0] - found[1][0])
            assert 0.2 + 0.1 * label - 0.01 < distance < 0.3 + 0.1 * label + 0.01
        else:
            assert label == 0


def test_locations_are_exact() -> None:
    for image, label in examples("location"):
        (x, _), _ = max(shapes_of(image), key=lambda shape: shape[1])
        assert abs((x - 0.1) / 0.8 * 6 - label - 0.5) < 0.5 + 0.25  # a dot may touch the shape and move its centre


def test_orientations_are_exact() -> None:
    for image, label in examples("orientation"):
        ground = np.median(image.reshape(-1, 3), axis=0)
        rows, columns = np.nonzero(
            (ndimage.gaussian_filter(image.astype(float), (0.7, 0.7, 0)) - ground).max(-1) > 16
        )
        _, vectors = np.linalg.eigh(np.cov(columns, -rows))
        angle = np.degrees(np.arctan2(vectors[1, 1], vectors[0, 1])) % 180
        assert abs((angle - 30 * label - 15 + 90) % 180 - 90) < 17


def test_scenes_are_the_same_every_time_and_classes_are_equal() -> None:
    dataset = load_dataset("scenes/count")
    again = scenes.draw_scene("count", 3, np.random.default_rng((0, False, 3)))
    assert np.array_equal(dataset.train.images[3], again)
    assert dataset.test is not None
    assert np.bincount(dataset.train.labels).tolist() == [200] * 6
    assert not any(np.array_equal(dataset.test.images[0], image) for image in dataset.train.images[:60])


def test_scenes_are_drawn_when_they_are_asked_for() -> None:
    images = scenes.load.__wrapped__("count").train.images
    assert not images.kept
    last = images[-1]
    assert np.array_equal(images[1198:][1], last)
    assert sorted(images.kept) == [1198, 1199]
    with pytest.raises(IndexError):
        images[1200]


def test_photographs_share_no_pixel_between_splits() -> None:
    dataset = photos.load()
    assert dataset.test is not None
    rows = {image[row].tobytes() for image in dataset.train.images[::10] for row in range(0, 48, 6)}
    assert not any(image[row].tobytes() in rows for image in dataset.test.images[::10] for row in range(48))
    assert dataset.num_classes == 8


def test_one_source_asks_several_questions() -> None:
    assert {"elpv", "elpv/defect", "elpv/grade", "scenes/count"} <= set(names())
    assert "scenes" not in names()
    grade, defect = load_dataset("elpv/grade"), load_dataset("elpv/defect")
    assert np.bincount(grade.train.labels).tolist() == [1508, 295, 106, 715]
    assert np.array_equal(defect.train.labels, grade.train.labels > 1)
    with pytest.raises(UserError, match="no folder or data set 'scenes/colour'"):
        load_dataset("scenes/colour")
