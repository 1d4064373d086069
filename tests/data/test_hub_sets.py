"""Data sets of the hub: splits and columns under their many names, and labels that are secret."""

from __future__ import annotations

import io
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from selfprompt import doctor
from selfprompt.data.batches import Decoded
from selfprompt.data.images import read_image
from selfprompt.data.pairs import as_examples
from selfprompt.data.protocol import Protocol
from selfprompt.data.sources import load_dataset
from selfprompt.data.sources.hub import from_splits
from selfprompt.errors import UserError

datasets = pytest.importorskip("datasets")
CLASSES = datasets.ClassLabel(names=["x", "y"])


def table(labels: list, label: Any = CLASSES, **more: tuple[Any, Any]) -> Any:
    """Rows of a column ``image`` whose pixels tell their number, ``label``, and more (feature and value)."""
    features = {"image": datasets.Image(), "label": label} | {name: feature for name, (feature, _) in more.items()}
    rows = {"image": [np.full((4, 4, 3), 9 * i, dtype=np.uint8) for i in range(len(labels))], "label": labels}
    rows |= {name: [value] * len(labels) for name, (_, value) in more.items()}
    return datasets.Dataset.from_dict(rows, features=datasets.Features(features))


def test_splits_and_columns_become_ours() -> None:
    found = table([0, 1, 0])
    dataset = from_splits("hf:toy", {"train": found, "validation": found})
    assert (dataset.class_names, len(dataset.train), dataset.test) == (("x", "y"), 3, None)
    with pytest.raises(UserError, match="no class-label column"):
        from_splits("hf:toy", {"train": found.remove_columns("label")})
    with pytest.raises(UserError, match="no image column"):
        from_splits("hf:toy", {"train": found.remove_columns("image")})
    with pytest.raises(UserError, match="no train split, but test"):
        from_splits("hf:toy", {"test": found})


@pytest.mark.parametrize(
    ("name", "ours"),
    [*((name, "val") for name in ("validation", "valid", "val", "dev", "Validation")), ("testing", "test")],
)
def test_splits_have_many_names(name: str, ours: str, caplog: pytest.LogCaptureFixture) -> None:
    dataset = from_splits("hf:toy", {"training": table([0, 1]), name: table([1, 1, 0]), "unsupervised": table([0])})
    assert list(dataset.own) == ["train", ours]
    assert dataset.own[ours].labels.tolist() == [1, 1, 0]
    assert "unsupervised" in caplog.text


def test_secret_labels_are_left_out_and_said(caplog: pytest.LogCaptureFixture) -> None:
    loaded = {"train": table([0, 1]), "validation": table([-1, 1, None]), "test": table([-1, -1])}
    with caplog.at_level(logging.WARNING, "selfprompt"):
        dataset = from_splits("hf:toy", loaded)
    assert dataset.test is None
    assert dataset.val is not None
    assert dataset.val.labels.tolist() == [1]
    assert np.asarray(dataset.val.images[0]).mean() == 9
    assert "2 of 2 images of the split test have no label" in caplog.text
    assert "2 of 3 images of the split validation" in caplog.text
    with pytest.raises(UserError, match="1 of 3 images of the split train have no label"):
        from_splits("hf:toy", {"train": table([0, -1, 1])})


def test_plain_labels_get_their_classes_from_what_there_is() -> None:
    text = datasets.Value("string")
    dataset = from_splits("hf:toy", {"train": table(["dog", "cat", "dog"], text), "test": table(["cat"], text)})
    assert dataset.class_names == ("cat", "dog")
    assert dataset.train.labels.tolist() == [1, 0, 1]
    assert dataset.own["test"].labels.tolist() == [0]
    whole = from_splits("hf:toy", {"train": table([10, 2, 10], datasets.Value("int64"))})
    assert (whole.class_names, whole.train.labels.tolist()) == (("2", "10"), [1, 0, 1])
    with pytest.raises(UserError, match="the split test has the label 'hen', which train lacks"):
        from_splits("hf:toy", {"train": table(["dog", "cat"], text), "test": table(["hen"], text)})


def test_of_several_columns_the_telling_one_or_the_chosen_one(caplog: pytest.LogCaptureFixture) -> None:
    coarse = datasets.ClassLabel(names=["a", "b", "c"])
    loaded = {"train": table([0, 1], coarse_label=(coarse, 2))}
    assert from_splits("hf:toy", loaded).class_names == ("x", "y")
    assert "label is taken of the class-label columns label, coarse_label" in caplog.text
    assert from_splits("hf:toy", loaded, ["coarse_label"]).train.labels.tolist() == [2, 2]
    with pytest.raises(UserError, match="no column rough"):
        from_splits("hf:toy", loaded, ["rough"])
    neither = {"train": table([0, 1], kind=(coarse, 2)).rename_column("label", "sort")}
    with pytest.raises(UserError, match="columns sort, kind: choose one, as in hf:toy#sort"):
        from_splits("hf:toy", neither)
    odd = {"train": table(["p", "q"], datasets.Value("string")).rename_column("label", "species")}
    with pytest.raises(UserError, match="write hf:toy#COLUMN if it is species"):
        from_splits("hf:toy", odd)
    assert from_splits("hf:toy", odd, ["species"]).class_names == ("p", "q")


PIXELS = np.full((4, 4, 3), 7, dtype=np.uint8)


def file_of(pixels: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


@pytest.mark.parametrize(
    ("broken", "sentence"),
    [
        (None, "hf:toy, train, row 1 has no image: leave it out"),
        ({"bytes": b"no image", "path": "a.png"}, "hf:toy, train, row 1 is no image: replace it"),
        ({"bytes": file_of(PIXELS)[:50], "path": None}, "hf:toy, train, row 1 cannot be decoded"),
        ({"bytes": None, "path": "/nowhere/a.png"}, "hf:toy, train, row 1 cannot be decoded .*/nowhere/a.png"),
    ],
)
@pytest.mark.parametrize("mode", [None, "L"])
def test_a_broken_row_is_named(broken: Any, sentence: str, mode: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    found = table([0, 1]).remove_columns("image")
    found = found.add_column("image", [{"bytes": file_of(PIXELS), "path": None}, broken])
    found = found.cast_column("image", datasets.Image(mode=mode))
    dataset = from_splits("hf:toy", {"train": found})
    assert read_image(dataset.train.images[0]).size == (4, 4)
    with pytest.raises(UserError, match=sentence if mode is None else "hf:toy, train, row 1"):
        read_image(dataset.train.images[1])
    monkeypatch.setattr(doctor, "load_located", lambda *_: dataset)
    problems = doctor.check_data("hf:toy")[1]
    assert sum("hf:toy, train, row 1" in problem for problem in problems) == 1


def test_images_may_be_bytes_of_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pandas = pytest.importorskip("pandas")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    for name, image in (("dicts", {"bytes": file_of(PIXELS), "path": "a.png"}), ("plain", file_of(PIXELS))):
        (tmp_path / name).mkdir()
        pandas.DataFrame({"image": [image] * 2, "label": [0, 1]}).to_parquet(tmp_path / name / "train.parquet")
        images = load_dataset(f"hf:{tmp_path / name}").train.images
        assert all(np.array_equal(np.asarray(read_image(image)), PIXELS) for image in images)
        pandas.DataFrame({"image": [image] * 2, "label": [0.5, 1]}).to_parquet(tmp_path / name / "train.parquet")
        with pytest.raises(UserError, match=r"no class-label column \(whole numbers, booleans or texts\)"):
            load_dataset(f"hf:{tmp_path / name}")
    with pytest.raises(UserError, match="hf: names no data set: write hf:NAME"):
        load_dataset("hf:")


def test_rows_given_to_a_fit_keep_their_files(tmp_path: Path) -> None:
    dim = np.full((4, 4), 300, dtype=np.uint16)
    dim[0] = 4095
    rows = {"image": [{"bytes": file_of(dim), "path": None}, None], "label": [0, 1]}
    found = datasets.Dataset.from_dict(
        rows, features=datasets.Features({"image": datasets.Image(), "label": CLASSES})
    )
    kept = as_examples(found.select([0]))
    assert np.asarray(read_image(kept.images[0]))[1, 0, 0] == 300 >> 4
    assert isinstance(kept.images[0], dict)
    with pytest.raises(UserError, match="Item 1: a NoneType is no image"):
        as_examples(found)
    rows["image"][1] = {"bytes": b"no image", "path": None}
    images = as_examples(datasets.Dataset.from_dict(rows, features=found.features))
    with pytest.raises(UserError, match=r"Image 1: .* is no image"):
        Decoded(images, Protocol(image_size=8))


def test_a_configuration_is_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    card = "---\nconfigs:\n"
    for size, labels in (("small", [0, 1]), ("large", [0, 1, 1])):
        table(labels).to_parquet(tmp_path / "birds" / f"{size}.parquet")
        card += f"- config_name: {size}\n  data_files: {size}.parquet\n"
    (tmp_path / "birds" / "README.md").write_text(card + "---\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    assert len(load_dataset("hf:./birds@large").train) == 3
    given = load_dataset("hf:./birds@large#label,train=train")
    assert (given.class_names, len(given.train)) == (("x", "y"), 3)
    with pytest.raises(UserError, match=r"hf:\./birds@large has no split fold1, but train"):
        load_dataset("hf:./birds@large#test=fold1")
    assert load_dataset("hf:./birds@small#label").class_names == ("x", "y")
    for name in ("hf:./birds", "hf:./birds@medium"):
        with pytest.raises(UserError, match=r"one of the configurations small, large: write hf:\./birds@small"):
            load_dataset(name)


def test_splits_of_any_name_can_be_given(caplog: pytest.LogCaptureFixture) -> None:
    loaded = {"fold1": table([0, 1]), "fold2": table([1, 1, 0]), "rest": table([0])}
    with pytest.raises(UserError, match="no train split, but fold1, fold2, rest: write hf:toy#train=NAME"):
        from_splits("hf:toy", loaded)
    given = from_splits("hf:toy", loaded, given={"train": "fold2", "test": "fold1"})
    assert {name: len(part) for name, part in given.own.items()} == {"train": 3, "test": 2}
    assert "rest are left out" in caplog.text
    with pytest.raises(UserError, match="no split fold3, but fold1, fold2, rest"):
        from_splits("hf:toy", loaded, given={"train": "fold3"})
    assert len(from_splits("hf:toy", {"full": table([0, 1]), "test": table([1])}).train) == 2
    assert "the split full is trained on" in caplog.text
    matched = from_splits("hf:toy", {"train": table([0, 1]), "validation_matched": table([0]), "other": table([1])})
    assert list(matched.own) == ["train", "val"]
