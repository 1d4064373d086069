"""predict: every readable image is answered in its place, in bounded memory, and what cannot be read is named."""

from __future__ import annotations

import json
import weakref
from collections.abc import Iterator
from csv import reader
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import selfprompt as sp
from conftest import make_backbone, write_image
from selfprompt import cli
from selfprompt.data.views.image import ImageView
from selfprompt.runs import predict as prediction
from selfprompt.runs import streaming


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Seven images, the third cut short."""
    for index in range(7):
        write_image(tmp_path / "new" / f"{index}.png", index % 3, index)
    whole = (tmp_path / "new" / "2.png").read_bytes()
    (tmp_path / "new" / "2.png").write_bytes(whole[: len(whole) // 2])
    return tmp_path / "new"


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    model = sp.create_model(make_backbone(), "vpt", num_classes=3, num_prompts=2, class_names=["ant", "bee", "cow"])
    model.initialize()
    model.save_pretrained(tmp_path / "adapter")
    return tmp_path / "adapter"


@pytest.fixture
def predict(adapter: Path):
    return partial(sp.predict, adapter, backbone=make_backbone())


def test_one_broken_image_leaves_the_others_as_they_are(predict, photos: Path, caplog) -> None:
    found = predict([photos])
    assert [p["image"] for p in found] == [str(photos / f"{i}.png") for i in range(7)]
    assert [("error" in p, p["label"] is None, p["probability"] is None) for p in found] == [
        (i == 2,) * 3 for i in range(7)
    ]
    assert "2.png cannot be decoded" in found[2]["error"]
    assert "1 of 7 images could not be read" in caplog.text
    (photos / "2.png").unlink()
    whole = predict([photos])
    for one, other in zip([p for p in found if "error" not in p], whole, strict=True):
        assert one["label"] == other["label"]
        assert one["probability"] == pytest.approx(other["probability"], abs=1e-5)


def test_on_error_stop_ends_at_the_first(predict, photos: Path) -> None:
    with pytest.raises(sp.UserError, match=r"2\.png cannot be decoded"):
        predict(photos, on_error="stop")
    with pytest.raises(sp.UserError, match="give 'skip' or 'stop'"):
        predict(photos, on_error="ignore")


def test_one_image_is_one_image_however_it_is_given(predict, photos: Path, monkeypatch) -> None:
    path = photos / "0.png"
    label = predict([path])[0]["label"]
    picture = Image.open(path)
    for one, name in ((str(path), str(path)), (path, str(path)), (picture, 0), (np.asarray(picture), 0)):
        for given in (one, [one]):
            found = predict(given)
            assert [(p["image"], p["label"]) for p in found] == [(name, label)]
    assert len(predict(str(photos))) == len(predict(photos)) == 7
    assert [p["image"] for p in predict(np.stack([np.asarray(picture)] * 2))] == [0, 1]
    monkeypatch.chdir(photos)
    assert predict("0.png")[0]["label"] == label


def test_a_mixed_list_keeps_its_order(predict, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    picture = np.asarray(Image.open(photos / "1.png"))
    given = [
        photos / "1.png",
        str(tmp_path / "empty"),
        "nowhere.png",
        picture,
        torch.zeros(3, 32, 32),
        photos / "1.png",
    ]
    found = predict(given)
    assert [p["image"] for p in found] == [str(given[0]), given[1], "nowhere.png", 3, 4, str(given[0])]
    assert [p["label"] is None for p in found] == [False, True, True, False, False, False]
    assert found[0] == found[5]
    assert "empty has no images" in found[1]["error"]
    assert "There is no file nowhere.png" in found[2]["error"]


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ([], "There are no images: give"),
        ("nowhere.png", "There is no file nowhere.png"),
        (["a.png", "b.png"], "None of 2 images can be read; the first: There is no file a.png"),
        ("x" * 300, "cannot be decoded"),
        (b"photo", "Image number 0: An image given as 5 bytes is no image"),
        (None, "A NoneType is no image: give a path"),
        (3, "A int is no image: give a path"),
        ([None], "Image number 0: a NoneType is no image"),
        ("", "An empty name is no image"),
        ({"a": 1}, "Image number 0: a dict is no image"),
        (np.array(3), r"Image number 0: An array of shape \(\) is no image"),
        (np.full((8, 8), 7.0), "Image number 0: A float image has values from 7 to 7"),
        (torch.full((3, 8, 8), -1.0), "Image number 0: A float image has values from -1 to -1"),
        (np.zeros((8, 8, 7), np.uint8), r"shape \(8, 8, 7\) is no image"),
        (np.zeros((1, 1, 8, 8, 3), np.uint8), r"Image number 0: .* \(a batch: give its images"),
    ],
)
def test_nothing_readable_is_one_sentence(given, sentence: str, predict) -> None:
    with pytest.raises(sp.UserError, match=sentence):
        predict(given)


def test_an_image_in_memory_is_answered_in_every_layout(predict, photos: Path) -> None:
    path = photos / "0.png"
    pixels = np.asarray(Image.open(path))
    tensor, (right,) = torch.from_numpy(pixels.copy()).permute(2, 0, 1), predict(path)
    ones = [pixels, pixels / 255, pixels.astype(np.int64), pixels.transpose(2, 0, 1), tensor, tensor.double() / 255]
    ones += [path.read_bytes(), path.open("rb"), {"bytes": path.read_bytes(), "path": None}]
    batches = [np.stack([pixels] * 2), np.stack([pixels / 255] * 2), torch.stack([tensor] * 2), np.array([path] * 2)]
    for given, count in [(one, 1) for one in ones] + [(batch, 2) for batch in batches]:
        assert [p["probability"] for p in predict(given)] == pytest.approx([right["probability"]] * count, abs=1e-6)


def test_a_buffer_that_is_used_again_is_answered_each_time(predict, photos: Path) -> None:
    pictures = [np.asarray(Image.open(photos / f"{index}.png")) for index in (0, 1, 3)]
    buffer = np.zeros_like(pictures[0])

    def reused() -> Iterator[np.ndarray]:
        for pixels in pictures:
            buffer[:] = pixels
            yield buffer

    assert predict(reused()) == predict(pictures)


def test_an_empty_folder_is_one_sentence(predict, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").write_text("hello", encoding="utf-8")
    with pytest.raises(sp.UserError, match="empty has no images: give"):
        predict(tmp_path / "empty")


@pytest.mark.parametrize("count", [12, 60])
def test_memory_does_not_grow_with_images(predict, adapter: Path, photos: Path, monkeypatch, count: int) -> None:
    """Of the pictures that were decoded, two batches are alive; and none is asked for before it is needed."""
    monkeypatch.setattr(streaming, "BATCH_SIZE", 4)
    alive: weakref.WeakSet[Pixels] = weakref.WeakSet()
    taken, given, most, read = 0, 0, 0, ImageView.read

    def watched(self: ImageView, source: object, rng: object = None) -> np.ndarray:
        pixels = read(self, source).view(Pixels)  # type: ignore[arg-type]
        alive.add(pixels)
        return pixels

    def many() -> Iterator[Path]:
        nonlocal taken
        for _ in range(count):
            taken += 1
            yield photos / "0.png"

    monkeypatch.setattr(ImageView, "read", watched)
    for given, _ in enumerate(sp.predict_each(adapter, many(), backbone=make_backbone()), 1):
        most = max(most, len(alive), taken - given)
    assert given == count
    assert most <= 8


class Pixels(np.ndarray):
    """An array that can be told from others that are equal."""

    def __hash__(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]
        return id(self)


def test_top_classes_and_a_threshold(predict, photos: Path) -> None:
    plain = predict(photos)
    for top_k, many in ((1, 1), (2, 2), (0, 3)):
        for found, one in zip(predict(photos, top_k=top_k), plain, strict=True):
            assert found.get("top", [])[:1] == (
                [] if "error" in one else [{k: one[k] for k in ("label", "probability")}]
            )
            sure = [likely["probability"] for likely in found.get("top", [])]
            assert len(sure) == (0 if "error" in one else many)
            assert sure == sorted(sure, reverse=True)
            assert many < 3 or not sure or sum(sure) == pytest.approx(1, abs=1e-5)
    limit = sorted(p["probability"] for p in plain if p["probability"])[3]
    for found, one in zip(predict(photos, threshold=limit), plain, strict=True):
        unsure = one["probability"] is not None and one["probability"] < limit
        assert found == ({**one, "label": None} if unsure else one)
    assert sum(p["label"] is None for p in predict(photos, threshold=limit)) == 4
    for wrong in ({"top_k": 4}, {"top_k": -1}, {"threshold": 1.5}, {"threshold": float("nan")}):
        with pytest.raises(sp.UserError, match="give"):
            predict(photos, **wrong)


def test_what_the_adapter_refuses_waits_for_no_backbone(adapter: Path, photos: Path) -> None:
    with pytest.raises(sp.UserError, match="top_k is 5, and there are 3 classes"):
        sp.predict(adapter, photos, top_k=5, backbone="no-such-backbone")
    with pytest.raises(sp.UserError, match="no threshold for a precision of"):
        sp.predict(adapter, photos, threshold="auto", backbone="no-such-backbone")


def test_the_command_answers_in_part(photos: Path, adapter: Path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(prediction, "rebuilt", lambda path, *_: sp.load(path, make_backbone()))

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["selfprompt", "predict", str(adapter), *map(str, arguments)])
        capsys.readouterr()
        try:
            cli.main()
        except SystemExit as stop:
            return int(stop.code or 0), *capsys.readouterr()
        return 0, *capsys.readouterr()

    status, out, err = run(photos, "--json")
    answers = json.loads(out)["predictions"]
    assert (status, sum(bool(a["label"]) for a in answers)) == (3, 6)
    assert f"error: {photos / '2.png'} cannot be decoded" in err
    status, out, err = run(photos)
    assert (status, len(out.splitlines())) == (3, 6)
    assert run(photos / "0.png")[0] == 0
    assert run("")[0] == 2  # and not the images of the folder that one is in
    for more in ("--json", "--csv"):
        status, out, err = run(photos, "--on-error", "stop", more, *[photos / "stopped.csv"] * (more == "--csv"))
        assert (status, out) == (2, "")
        assert "2.png" in err
    assert not (photos / "stopped.csv").exists()
    csv = photos / "found.csv"
    (photos / "list.csv").write_text(
        "".join(f"{n}\n" for n in ("file", *(f"{i}.png" for i in range(7)))), encoding="utf-8"
    )
    for given in (photos, photos / "list.csv"):
        status, out, err = run(given, "--csv", csv, "--top-k", "2", "--threshold", "0.5")
        assert (status, out) == (3, f"{csv}: 6 of 7 images\n")
        head, *rows = reader(csv.read_text(encoding="utf-8").splitlines())
        own = "image" if given == photos else "file"
        assert head == [
            own,
            "label",
            "probability",
            "error",
            "label_1",
            "probability_1",
            "label_2",
            "probability_2",
        ]
        for row, answer in zip(rows, answers, strict=True):
            name = answer["image"] if given == photos else Path(answer["image"]).name
            if "error" in answer:
                assert row == [name, "", "", answer["error"], "", "", "", ""]
            else:
                label = answer["label"] if answer["probability"] >= 0.5 else ""
                assert row[:3] == [name, label, str(answer["probability"])]
                assert row[3:6] == ["", answer["label"], str(answer["probability"])]
    rows = [{"file": f"{i}.png", "label": "red", "predicted_label": None, "seen": ["a", i]} for i in (0, 1)]
    rows.append({"file": "2.png", "age": 7})
    known = photos / "known.jsonl"
    known.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    before = known.read_bytes()
    assert "is one of the inputs: choose another file" in run(known, "--csv", known)[2]
    assert known.read_bytes() == before
    assert run(known, "--csv", csv)[0] == 3
    head, first, _, lost = reader(csv.read_text(encoding="utf-8").splitlines())
    said = ["predicted_predicted_label", "probability", "error"]
    assert head == ["file", "label", "predicted_label", "seen", "age", *said]
    assert first[:-3] == ["0.png", "red", "", '["a", 0]', ""]
    assert first[-3:] == [answers[0]["label"], str(answers[0]["probability"]), ""]
    assert lost == ["2.png", "", "", "", "7", "", "", answers[2]["error"]]
    assert run(photos / "0.png", known, "--csv", csv)[0] == 3
    assert csv.read_text(encoding="utf-8").startswith("image,label,probability,error\n")
    status, out, err = run(photos, "--json", "--top-k", "all")
    assert [len(a.get("top", ())) for a in json.loads(out)["predictions"]] == [
        3 * ("error" not in a) for a in answers
    ]
    for wrong in ("0", "4", "some"):
        assert run(photos, "--top-k", wrong)[0] == 2


def test_deep_images_are_scaled_as_in_training(tmp_path: Path) -> None:
    dim = np.full((16, 16), 400, dtype=np.uint16)
    Image.fromarray(dim).save(tmp_path / "dim.png")
    view = sp.Protocol(image_size=16, value_range=(0, 4095)).view()
    for source in (tmp_path / "dim.png", dim):
        _, _, found = streaming.decode((0, "dim", source), view, view.read, "image")
        assert found.max() == round(400 * 255 / 4095)
