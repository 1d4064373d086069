"""What a folder is read as: its own images under their own classes, each once, and whatever is left out is said."""

from __future__ import annotations

import contextlib
import json
import logging
import os
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conftest import write_image
from selfprompt.cli.doctor import command as doctor
from selfprompt.comparison.bench import task_of
from selfprompt.comparison.suites import MINI
from selfprompt.data.sources import load_dataset, load_located, locate
from selfprompt.data.sources.folder import images_below
from selfprompt.data.tree import walk
from selfprompt.doctor import check_data
from selfprompt.errors import UserError
from selfprompt.pretraining.corpus import load_corpus
from selfprompt.runs.config import RunConfig


def plant(root: Path, *folders: str, count: int = 3, suffix: str = "png") -> Path:
    """Folders with ``count`` images each; no two images are the same file."""
    for label, name in enumerate(folders):
        for index in range(count):
            write_image(root / name / f"{index}.{suffix}", label, index, size=8)
    return root


def counts(root: Path | str) -> dict[str, int]:
    """Training images of each class."""
    dataset = load_dataset(root)
    return dict(Counter(dataset.class_names[label] for label in dataset.train.labels))


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


@pytest.mark.parametrize("name", ["photos", "digits", "flowers", "scenes/count"])
def test_a_folder_named_like_a_registered_set_is_never_passed_over(name: str, here: Path) -> None:
    plant(here / name, "cat", "dog")
    for mine in (Path(name), f"./{name}", f"{name}/", str(here / name)):
        assert counts(mine) == {"cat": 3, "dog": 3}
        assert locate(mine) == str(here / name)
    for ambiguous in (lambda: load_dataset(name), lambda: RunConfig.resolve(name), lambda: load_corpus(name, 8)):
        with pytest.raises(UserError, match=rf"write \./{name} for the folder, or name:{name} for the data set"):
            ambiguous()
    assert any(f"./{name} for the folder" in problem for problem in check_data(name)[1])
    assert locate(f"name:{name}") == name
    with pytest.raises(UserError, match=r"no folder or data set 'name:nosuch'"):
        load_dataset("name:nosuch")


def test_the_registered_set_is_there_by_its_full_name(here: Path) -> None:
    plant(here / "digits", "cat", "dog")
    assert load_dataset("name:digits").num_classes == 10
    assert load_located("digits").num_classes == 10  # as runs recorded it
    assert load_corpus("./digits", 8)[0].shape[0] == 6
    assert task_of(MINI, "digits").run("linear").data == "digits"
    with pytest.raises(UserError, match="write name:photos for the data set"):
        load_dataset(Path("photos"))


def test_a_folder_named_like_a_benchmark(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plant(here / "mini", "cat", "dog")
    with pytest.raises(UserError, match=r"mini is a folder here and a benchmark: write \./mini .* or name:mini"):
        doctor("mini")
    doctor("./mini", json=True)
    assert json.loads(capsys.readouterr().out)["classes"] == 2
    with contextlib.suppress(UserError):  # a part of it needs a Debian package
        doctor("name:mini", json=True)
    assert "mnist5k" in json.loads(capsys.readouterr().out)


def test_a_run_finds_its_folder_again_from_elsewhere(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(here / "pets", "cat", "dog")
    recorded = RunConfig.resolve("pets", method="linear").data
    monkeypatch.chdir("/")
    assert len(load_located(recorded).train) == 6
    assert RunConfig.resolve("name:digits", method="linear").data == "digits"


@pytest.mark.parametrize(
    "names", [("bus", "car", "train"), ("invalid", "valid"), ("blank", "test"), ("Match", "Training")]
)
def test_a_class_named_like_a_split(names: tuple[str, ...], tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert counts(plant(tmp_path, *names)) == dict.fromkeys(names, 3)
    assert "named like a split and read as a class" in caplog.text


@pytest.mark.parametrize(
    ("folders", "sentence"),
    [
        (("train", "test"), "train has no class folders.*read as a split: rename it if it is a class"),
        (("train", "test", "extra"), "train has no class folders"),
        (("train/cat", "train/dog", "fox"), "fox has images and stands beside .*train"),
        (("bus/a", "car/a", "train/a", "train/b"), "stands beside .*train, which is read as the train split"),
        (("valid/a", "valid/b", "invalid/a"), "valid, read as a split, but no train folder.*if it is a class"),
        (("cat", "dog", "test/cat"), "test, read as a split, but no train folder"),
        (("train/cat", "train/dog", "val/cat", "valid/dog"), "two folders for one split among"),
        (("train/cat", "train/dog", "test/unknown"), "unknown is a class that the training split lacks"),
        (("cat/train", "cat/test", "dog/train", "dog/test"), r"cat has the splits .* as in .*train/cat; or rename"),
        (("a/cat/Train", "b/val", "b/training"), "b has the splits training and val in it"),
        (("train/cat/test", "train/cat/val", "train/dog"), "cat has the splits"),
        (("images/train", "images/test", "labels"), "images beside labels, as for detection or segmentation"),
        (("train/Images", "train/Annotations"), "train has Images beside Annotations, as for detection"),
        (("imgs", "masks"), "imgs beside masks, as for detection or segmentation: put the images of each class"),
        (("pets/cat", "pets/dog"), "one class folder .pets.*or give .*pets if the class folders are in there"),
    ],
)
def test_what_may_be_a_class_or_a_split_is_asked(folders: tuple[str, ...], sentence: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=sentence):
        load_dataset(plant(tmp_path, *folders))


def test_a_class_may_have_one_folder_named_like_a_split(tmp_path: Path) -> None:
    assert counts(plant(tmp_path, "vehicle/bus", "vehicle/train", "animal")) == {"animal": 3, "vehicle": 6}


def test_images_beside_annotations_without_images(tmp_path: Path) -> None:
    plant(tmp_path, "images/train", "images/test")
    (tmp_path / "labels" / "train").mkdir(parents=True)
    (tmp_path / "labels" / "train" / "0.txt").write_text("0 1 1 1 1", encoding="utf-8")
    with pytest.raises(UserError, match="images beside labels, as for detection"):
        load_dataset(tmp_path)


@pytest.mark.parametrize("place", ["eel", "train", "test", "train/eel"])
@pytest.mark.parametrize("target", ["/nowhere/eel", "self"])
def test_a_link_to_nothing_may_have_been_a_class_or_a_split(place: str, target: str, tmp_path: Path) -> None:
    plant(tmp_path, *(("cat", "dog") if place == "eel" else ("train/cat", "train/dog")))
    if place == "train":
        (tmp_path / "train").rename(tmp_path / "val")
    link = tmp_path / place
    link.symlink_to(link.name if target == "self" else target)
    with pytest.raises(UserError, match=f"{link} is a link to .*, which is not there: mend the link, or remove it"):
        load_dataset(tmp_path)


def test_a_link_to_nothing_in_a_class_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (plant(tmp_path, "cat", "dog") / "cat" / "more").symlink_to("/nowhere")
    assert counts(tmp_path) == {"cat": 3, "dog": 3}
    assert "1 file(s)" in caplog.text
    assert "are links to what is not there, and left out" in caplog.text


@pytest.mark.parametrize("data", [None, 3, "", " ", ["a", "b"]])
def test_what_is_no_name_is_no_data_set(data: Any) -> None:
    with pytest.raises(UserError, match="is no data set: give a folder"):
        load_dataset(data)


@pytest.mark.parametrize("split", ["test", "val"])
def test_a_split_without_labels_is_left_out_and_said(
    split: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    plant(tmp_path, "train/cat", "train/dog", split)
    assert counts(tmp_path) == {"cat": 3, "dog": 3}
    assert getattr(load_dataset(tmp_path), split) is None
    assert f"{tmp_path / split} has no class folders, so its 3 image(s) have no labels" in caplog.text


@pytest.mark.parametrize("suffix", ["jfif", "jpe", "JPG", "avif", "webp", "tga"])
def test_every_suffix_that_pillow_reads(suffix: str, tmp_path: Path) -> None:
    plant(tmp_path, "cat", "dog")
    for name in ("cat", "dog"):
        (tmp_path / name / "0.png").rename(tmp_path / name / f"0.{suffix}")
    assert counts(tmp_path) == {"cat": 3, "dog": 3}


def test_files_and_images_left_out_are_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    plant(tmp_path, "cat", "dog", ".")
    (tmp_path / "cat" / "notes.txt").write_text("x", encoding="utf-8")
    assert counts(tmp_path) == {"cat": 3, "dog": 3}
    assert f"3 image(s) directly in {tmp_path} are in no class folder" in caplog.text
    assert "1 file(s)" in caplog.text
    assert "notes.txt" in caplog.text
    (tmp_path / "eel").mkdir()
    (tmp_path / "eel" / "a.xyz").write_text("x", encoding="utf-8")
    with pytest.raises(UserError, match=r"eel has no images that can be read \(1 other files\)"):
        load_dataset(tmp_path)


@pytest.mark.parametrize(
    "litter",
    [
        *(
            "@eaDir/cat",
            "__MACOSX/cat",
            "$RECYCLE.BIN",
            "System Volume Information",
            "lost+found",
            ".ipynb_checkpoints",
        ),
        *("cat/@eaDir/0.png", "cat/__MACOSX", "cat/.ipynb_checkpoints", "cat/.hidden"),
    ],
)
def test_what_systems_leave_is_no_image(litter: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    plant(tmp_path, "cat", "dog", litter)
    for name in ("Thumbs.db", "desktop.ini", ".DS_Store", "._0.png"):
        (tmp_path / "cat" / name).write_bytes(b"x")
    assert counts(tmp_path) == {"cat": 3, "dog": 3}
    assert caplog.text == ""


@pytest.mark.parametrize("place", ["runs/pets-spt", "result", "cat/result", "."])
def test_a_run_in_its_own_data_is_no_class(place: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    plant(tmp_path, "cat", "dog")
    before = counts(tmp_path)
    (tmp_path / place / "prompts").mkdir(parents=True)
    for name in ("split.json", "run.json", "prompts/0.safetensors"):
        (tmp_path / place / name).write_text("{}", encoding="utf-8")
    assert counts(tmp_path) == before
    assert caplog.text == ""
    plant(tmp_path / "cat", "more")
    (tmp_path / "cat" / "run.json").write_text("{}", encoding="utf-8")  # one file of that name makes no run
    assert counts(tmp_path) == {"cat": 6, "dog": 3}


def test_links_that_lead_back_are_not_followed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = plant(tmp_path / "pets", "cat", "dog")
    (root / "cat" / "all").symlink_to(root, target_is_directory=True)
    (root / "dog" / "all").symlink_to(tmp_path, target_is_directory=True)
    (root / "dog" / "cats").symlink_to(root / "cat", target_is_directory=True)
    (root / "up").symlink_to("/", target_is_directory=True)
    assert counts(root) == {"cat": 3, "dog": 3}
    assert "4 file(s)" in caplog.text
    assert "not followed" in caplog.text
    assert len(images_below(root)) == 6
    (root / "kitty").symlink_to(root / "cat", target_is_directory=True)
    with pytest.raises(UserError, match=r"cat/0.png and .*kitty/0.png are one file in two classes \(and 2 more\)"):
        load_dataset(root)


def test_links_out_of_the_data_are_followed_once(tmp_path: Path) -> None:
    store = plant(tmp_path / "store", "a", "b")
    for one, other in (("a", "b"), ("b", "a"), ("a", "a")):
        (store / one / f"to-{other}").symlink_to(store / other, target_is_directory=True)
    root = plant(tmp_path / "pets", "dog")
    (root / "cat").symlink_to(store / "a", target_is_directory=True)
    assert counts(root) == {"cat": 6, "dog": 3}
    assert [os.path.basename(file.path) for file in walk(root / "cat", root)] == ["0.png", "1.png", "2.png"] * 2


@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_one_file_is_one_example(link, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    plant(tmp_path, "train/cat", "train/dog", "test/cat")
    link(tmp_path / "train/cat/0.png", tmp_path / "train/cat/again.png")
    assert counts(tmp_path) == {"cat": 3, "dog": 3}
    assert "again.png" in caplog.text
    link(tmp_path / "train/cat/1.png", tmp_path / "train/dog/odd.png")
    with pytest.raises(UserError, match=r"cat/1.png and .*dog/odd.png are one file in two classes: remove one"):
        load_dataset(tmp_path)
    (tmp_path / "train/dog/odd.png").unlink()
    link(tmp_path / "train/cat/2.png", tmp_path / "test/cat/seen.png")
    with pytest.raises(UserError, match=r"cat/2.png and .*seen.png are one file in two splits"):
        load_dataset(tmp_path)


def test_an_empty_folder_beside_the_splits_is_nothing(tmp_path: Path) -> None:
    plant(tmp_path, "train/cat", "train/dog")
    (tmp_path / "cat").mkdir()
    assert counts(tmp_path) == {"cat": 3, "dog": 3}


def test_splits_may_link_into_a_store_beside_them(tmp_path: Path) -> None:
    plant(tmp_path, "images", count=6)
    for index, place in enumerate(("train/cat", "train/dog", "train/cat", "train/dog", "test/cat", "test/dog")):
        (tmp_path / place).mkdir(parents=True, exist_ok=True)
        (tmp_path / place / f"{index}.png").symlink_to(tmp_path / "images" / f"{index}.png")
    assert counts(tmp_path) == {"cat": 2, "dog": 2}


def test_a_class_name_that_is_not_utf8_is_refused_at_the_start(tmp_path: Path) -> None:
    plant(tmp_path / "cups", "tea", os.fsdecode(b"caf\xe9"))
    with pytest.raises(
        UserError, match=r"class folder b'caf\\xe9' .* is not UTF-8: rename it, to café for example"
    ) as told:
        load_dataset(tmp_path / "cups")
    str(told.value).encode()
    (tmp_path / "cups" / os.fsdecode(b"caf\xe9")).rename(tmp_path / "cups" / "coffee")
    (tmp_path / "cups" / "tea" / "0.png").rename(tmp_path / "cups" / "tea" / os.fsdecode(b"\xdf.png"))
    assert check_data(str(tmp_path / "cups"))[1] == []
    (tmp_path / "cups").rename(tmp_path / os.fsdecode(b"gla\xdf"))
    with pytest.raises(UserError, match="not UTF-8: rename the folder"):
        load_dataset(tmp_path / os.fsdecode(b"gla\xdf"))


def test_the_doctor_names_every_fault_of_a_folder(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    plant(tmp_path, "train/cat", "train/dog", "val/eel", "fox", "test")
    (tmp_path / "train" / "gnu").mkdir()
    (tmp_path / "train" / "cat" / "0.png").write_text("no image", encoding="utf-8")
    with caplog.at_level(logging.WARNING):
        problems = check_data(str(tmp_path))[1]
    for name in ("gnu has no images", "eel is a class that", "fox has images and stands beside", "0.png is no image"):
        assert sum(name in problem for problem in problems) == 1, problems
    assert "have no labels" in caplog.text


def test_many_classes_are_listed_in_order(tmp_path: Path) -> None:
    for index in np.random.default_rng(0).permutation(300):
        folder = tmp_path / f"{index:03}"
        folder.mkdir()
        (folder / "b.png").touch()
        (folder / "a").mkdir()
        (folder / "a" / "a.png").touch()
    dataset = load_dataset(tmp_path)
    assert dataset.train.labels.tolist() == [i // 2 for i in range(600)]
    assert [Path(str(p)).name for p in dataset.train.images] == ["b.png", "a.png"] * 300
