"""A look at data: what is there twice and which labels look wrong is found, and nothing else is."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance

from conftest import make_backbone, write_image
from selfprompt.data.batches import Decoded, Features
from selfprompt.data.checks import doubles
from selfprompt.data.checks.doubles import exact, fingerprint, near
from selfprompt.data.checks.findings import Double, Findings, Item
from selfprompt.data.checks.labels import FOLDS, out_of_fold, ranked, suspects
from selfprompt.data.checks.look import numbered
from selfprompt.data.datasets import Examples, Splits
from selfprompt.data.protocol import protocol_for
from selfprompt.doctor import check_data
from selfprompt.runs import data_check
from selfprompt.runs.data_check import look_at_data


def picture(seed: int, size: int = 64) -> Image.Image:
    """A smooth random picture, as photographs are."""
    small = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((size, size), Image.Resampling.BICUBIC)


def saved_anew(image: Image.Image, quality: int = 80) -> Image.Image:
    file = io.BytesIO()
    ImageEnhance.Brightness(image).enhance(1.05).save(file, "JPEG", quality=quality)
    return Image.open(file).convert("RGB")


def changed(image: Image.Image, how: str) -> Image.Image:
    return {
        "saved anew": lambda: saved_anew(image),
        "smaller": lambda: image.resize((40, 40)),
        "darker": lambda: ImageEnhance.Brightness(image).enhance(0.8),
        "grey": lambda: image.convert("L").convert("RGB"),
    }[how]()


@pytest.mark.parametrize("how", ["saved anew", "smaller", "darker", "grey"])
def test_a_picture_saved_anew_is_near_and_another_is_not(how: str) -> None:
    pictures = [*map(picture, range(60)), *(changed(picture(i), how) for i in (7, 30))]
    small = np.stack([fingerprint(image)[1] for image in pictures])
    found = list(near(small, np.repeat([0, 1], [60, 2])))
    assert [(i, j) for i, j, _ in found] == [(7, 60), (30, 61)]
    assert all(doubles.NEAR <= alike <= 1 for *_, alike in found)


def test_flat_pictures_are_near_to_nothing() -> None:
    flat = [np.full((32, 32, 3), 200, np.uint8), np.full((32, 32, 3), 201, np.uint8)]
    small = np.stack([fingerprint(Image.fromarray(pixels))[1] for pixels in flat])
    assert not list(near(small, np.zeros(2, dtype=int)))


@pytest.mark.parametrize("scores", [1, 7, 2**23])
def test_near_pictures_are_the_same_in_whatever_blocks(scores: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The likest earlier one of another split, where one is near, else of its own."""
    rng = np.random.default_rng(0)
    base = rng.integers(0, 256, (5, 256))
    small = np.clip(base[rng.integers(0, 5, 40)] + rng.integers(-6, 7, (40, 256)), 0, 255).astype(np.uint8)
    splits = np.repeat([0, 1, 2], [20, 10, 10])
    cosines = np.corrcoef(small.astype(float))
    expected = []
    for i in range(40):
        earlier = [j for j in range(i) if cosines[i, j] >= doubles.NEAR]
        beyond = [j for j in earlier if splits[j] != splits[i]]
        if earlier:
            expected.append((max(beyond or earlier, key=lambda j: cosines[i, j]), i))
    monkeypatch.setattr(doubles, "SCORES", scores)
    assert [(i, j) for i, j, _ in near(small, splits)] == expected
    assert len(expected) > 30


def test_an_exact_double_is_held_against_the_first() -> None:
    assert exact("abcaba") == [(0, 3), (1, 4), (0, 5)]
    png, again = picture(0), Image.open(io.BytesIO(_png(picture(0))))
    assert fingerprint(png)[0] == fingerprint(again)[0]
    assert fingerprint(png)[0] != fingerprint(picture(0).rotate(90))[0]
    wide = np.zeros((2, 4, 3), np.uint8)
    assert fingerprint(Image.fromarray(wide))[0] != fingerprint(Image.fromarray(wide.reshape(4, 2, 3)))[0]


def _png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=0)
    return file.getvalue()


def clusters(each: int, classes: int = 3, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng, labels = np.random.default_rng(seed), np.arange(each * classes) % classes
    return rng.normal(size=(classes, 8))[labels] * 3 + rng.normal(size=(len(labels), 8)), labels


def test_flipped_labels_are_found() -> None:
    features, labels = clusters(60)
    flipped = np.random.default_rng(1).permutation(len(labels))[:12]
    given = labels.copy()
    given[flipped] = (labels[flipped] + 1) % 3
    probabilities = out_of_fold(features, given, 3)
    assert set(flipped) <= set(ranked(probabilities, given)[:14])
    found = dict(suspects(probabilities, given))
    assert len(found) <= 14
    assert len(right := found.keys() & set(flipped.tolist())) >= 9
    assert all(found[i] == labels[i] for i in right)


def test_nobody_is_judged_by_its_own_label_or_group() -> None:
    features, labels = clusters(20)
    groups = np.arange(len(labels)) // 3  # one of each class
    probabilities = out_of_fold(features, labels, 3, groups)
    assert not np.isnan(probabilities).any()
    other = labels.copy()
    other[groups == 4] = (labels[groups == 4] + 1) % 3  # the class counts stay, and so do the folds
    assert np.allclose(out_of_fold(features, other, 3, groups)[groups == 4], probabilities[groups == 4], atol=1e-6)


def test_what_cannot_be_judged_is_left_out() -> None:
    features, labels = clusters(20)
    few = np.flatnonzero(labels == 2)[: FOLDS - 1]
    kept = np.union1d(few, np.flatnonzero(labels != 2))
    probabilities = out_of_fold(features[kept], labels[kept], 3)
    assert np.isnan(probabilities).all(axis=1).tolist() == (labels[kept] == 2).tolist()
    assert not set(ranked(probabilities, labels[kept])) & set(np.flatnonzero(labels[kept] == 2))
    one_place = np.where(
        labels == 1, 1000, np.arange(len(labels))
    )  # a class in one group is never learned without it
    probabilities = out_of_fold(features, labels, 3, one_place)
    assert np.isnan(probabilities).any(axis=1).tolist() == (labels == 1).tolist()
    assert np.isnan(out_of_fold(features[:4], labels[:4], 3)).all()


def test_findings_are_kept_whole() -> None:
    """Whatever files are called, and where there is no label."""
    items = [Item(split="train", name="\udcdf.png", label="ant"), Item(split="test", name="b.png")]
    found = Findings(near=[Double(one=items[0], other=items[1], similarity=0.99)])
    assert Findings.model_validate_json(found.model_dump_json(exclude_none=True)) == found
    assert [row[3] for row in found.rows()] == ["\\udcdf.png"]


def test_groups_of_several_splits_are_one_numbering() -> None:
    found = numbered([np.array(["a", "b", "a"]), None, np.array(["b"])], [3, 2, 1])
    assert found is not None
    assert found.tolist() == [0, 1, 0, -1, -1, 1]
    assert numbered([None, None], [1, 2]) is None


@pytest.fixture
def planted(tmp_path: Path) -> Path:
    """Two splits with a copy as another PNG, one saved anew as JPEG, one under two labels, and a flipped label."""
    for split, first, count in (("train", 0, 12), ("test", 100, 6)):
        for label, name in enumerate(("ant", "bee", "cow")):
            for index in range(first, first + count):
                write_image(tmp_path / "data" / split / name / f"{index}.png", label, index)
    train, test = tmp_path / "data" / "train", tmp_path / "data" / "test"
    (test / "ant" / "copy.png").write_bytes(_png(Image.open(train / "ant" / "3.png")))
    (test / "bee" / "other.png").write_bytes(_png(Image.open(train / "cow" / "4.png")))
    saved_anew(Image.open(train / "bee" / "5.png"), quality=90).save(test / "bee" / "anew.jpg", quality=95)
    write_image(train / "cow" / "flipped.png", 0, 50)
    return tmp_path / "data"


def test_the_doctor_finds_what_was_planted(planted: Path, tmp_path: Path, call: Callable) -> None:
    code, out, _ = call("doctor", planted, "--json", "--csv", tmp_path / "all.csv")
    said = json.loads(out)
    assert code == 2
    two, across = said["problems"]
    assert "1 image(s) stand under two labels, such as" in two
    assert "cow/4.png (cow) and" in two
    assert "1 image(s) are in train and test, such as" in across
    found = said["findings"]
    (alike,) = found["near"]
    assert [Path(alike[one]["name"]).name for one in ("one", "other")] == ["5.png", "anew.jpg"]
    assert "flipped.png" in [Path(suspect["item"]["name"]).name for suspect in found["suspects"]][:3]
    assert (found["features"], found["judged"]) == ("builtin", 58)
    rows = list(csv.DictReader((tmp_path / "all.csv").open(encoding="utf-8", newline="")))
    assert [row["finding"] for row in rows[:3]] == ["exact duplicate", "exact duplicate", "near duplicate"]
    assert {row["finding"] for row in rows[3:]} == {"suspicious label"}
    code, out, errors = call("doctor", planted)
    assert out.count("PROBLEM: ") == 2
    assert "copy.png" in out
    assert errors.splitlines()[-1] == "error: 2 problem(s) found."
    assert "copy.png" not in errors
    (planted / "test" / "ant" / "copy.png").unlink()
    (planted / "test" / "bee" / "other.png").unlink()
    code, out, _ = call("doctor", planted)
    assert code == 0
    assert "nothing is wrong" not in out
    assert "LOOK: 1 image(s) are almost the same as another one" in out
    assert "cow/flipped.png (cow) looks like ant" in out


def test_what_cannot_be_read_is_not_looked_at(planted: Path) -> None:
    (planted / "train" / "ant" / "3.png").write_text("no image", encoding="utf-8")
    _, problems, found = check_data(str(planted))
    assert sum("3.png is no image" in problem for problem in problems) == 1
    assert [Path(pair.other.name).name for pair in found.exact] == ["other.png"]
    assert found.judged == 57


def test_a_run_looks_at_what_it_has_at_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures of all parts, labels of the first two; what would take long is left out, and said."""
    features, labels = clusters(12)
    pixels = np.stack([np.asarray(picture(i, 32)) for i in range(36)])
    pixels[35], pixels[3] = pixels[0], np.asarray(saved_anew(picture(2, 32)))
    cuts = {"train": slice(0, 20), "val": slice(20, 30), "test": slice(30, 36)}
    examples = {name: Examples(list(pixels[cut]), labels[cut]) for name, cut in cuts.items()}
    splits = Splits(**examples, record={}, class_names=("ant", "bee", "cow"))
    protocol = protocol_for(make_backbone().info)
    rows = torch.from_numpy(features).float()
    found = [Features(rows[cut], torch.from_numpy(labels[cut])) for cut in cuts.values()]

    def look(keep: bool = True) -> Findings:
        parts = {name: Decoded(part, protocol, keep=keep) for name, part in examples.items()}
        return look_at_data(splits, parts, found, "tiny")

    data = look()
    assert [(pair.one.split, pair.one.name, pair.other.name) for pair in data.exact] == [("train", "0", "5")]
    assert [(pair.one.name, pair.other.name) for pair in data.near] == [("2", "3")]
    assert (data.judged, data.right, data.left_out) == (30, 1, [])
    assert look(keep=False).exact == []
    assert "doubles: the examples are not kept in memory" in look(keep=False).left_out[0]
    monkeypatch.setattr(data_check, "COMPARED", 35)
    monkeypatch.setattr(data_check, "JUDGED", 30 * 8 * 3 - 1)
    assert [why.partition(" are many")[0] for why in look().left_out] == [
        "doubles: 36 examples",
        "labels: 30 examples of 3 classes",
    ]


def test_a_csv_is_of_data(fails: Callable) -> None:
    assert "--csv lists what is found in DATA" in fails("doctor", "--csv", "all.csv")
