"""A run's own splits decide, whatever happens to its data afterwards; and its files name its images."""

from __future__ import annotations

import csv
import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conftest import write_image
from selfprompt.data.datasets import Dataset, Examples, among, with_splits
from selfprompt.data.protocol import Protocol
from selfprompt.data.recorded import splits_for
from selfprompt.data.sources import load_dataset
from selfprompt.errors import UserError
from selfprompt.reports import report
from selfprompt.runs.analysis import catch_up
from selfprompt.runs.config import RunConfig, read_run
from selfprompt.runs.evaluate import evaluate
from selfprompt.runs.tune import tune
from selfprompt.tuning.checkpoint import NAME as CHECKPOINT

NAMES = ("train_files", "val_files", "test_files")


@pytest.fixture
def run(folder: Path, weights: Path, tmp_path: Path) -> Path:
    """A finished run on the folder, not analysed yet."""
    recipe = {"epochs": 1, "batch_size": 8}
    tune(RunConfig.resolve(str(folder), str(weights), "linear", recipe=recipe), tmp_path / "run", analysed=False)
    return tmp_path / "run"


def record(run: Path) -> dict:
    return json.loads((run / "split.json").read_text(encoding="utf-8"))


def files(examples: Examples, root: Path) -> list[str]:
    return [Path(str(image)).relative_to(root).as_posix() for image in examples.images]


def splits_of(run: Path, folder: Path, whole: bool = True) -> list[list[str]]:
    """The files of the three splits as they are found now."""
    found = splits_for(load_dataset(folder), Protocol(), run, whole=whole)
    return [files(part, folder) for part in (found.train, found.val, found.test)]


def grow(folder: Path) -> None:
    """Ten images more, which stand before, between and after those that are there."""
    for index in range(10):
        write_image(folder / "ant" / f"{index}-new.png", 0, 50 + index)


def test_split_and_predictions_name_files(run: Path, folder: Path) -> None:
    named = record(run)
    assert sorted(file for name in NAMES for file in named[name]) == sorted(files(load_dataset(folder).train, folder))
    assert not any(isinstance(value, dict) for value in named.values())
    with (run / "predictions.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["image"] for row in rows] == named["test_files"]
    assert [row["image"].split("/")[0] for row in rows] == [row["label"] for row in rows]
    rows = [{**row, "predicted": "bee" if row["label"] == "ant" else "ant"} for row in rows]
    with (run / "predictions.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    catch_up(run)
    page = report(run).read_text(encoding="utf-8")
    assert all(row["image"] in page for row in rows)


def test_images_that_came_later_are_in_no_split(run: Path, folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    before, first = splits_of(run, folder), evaluate(run, str(folder))
    grow(folder)
    assert splits_of(run, folder) == before
    assert evaluate(run, str(folder)) == first
    assert "10 image(s) of" in caplog.text
    assert "ant/0-new.png" in caplog.text
    fresh = with_splits(load_dataset(folder), Protocol()).record
    assert set(fresh["test_files"]) & set(before[0])  # which a cut anew would have tested on
    moved = folder.with_name("moved")
    folder.rename(moved)
    assert splits_of(run, moved) == before


def test_images_that_are_gone_are_named(run: Path, folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    gone = record(run)["test_files"][0]
    (folder / gone).unlink()
    assert evaluate(run, str(folder))["images"] == len(record(run)["test_files"]) - 1
    assert f"lacks 1 test image(s) of the run in {run}, such as {gone}" in caplog.text
    with pytest.raises(UserError, match=f"lacks 1 test image.*{gone}: restore them"):
        catch_up(run)
    for name in record(run)["test_files"][1:]:
        (folder / name).unlink()
    with pytest.raises(UserError, match="none of the test images"):
        evaluate(run, str(folder))
    shutil.rmtree(folder)
    for label, name in enumerate(("ant", "bee", "cow")):
        write_image(folder / name / "other.png", label, 0)
        write_image(folder / name / "others.png", label, 1)
    with pytest.raises(UserError, match="none of the images of the run"):
        evaluate(run, str(folder))


def test_data_that_are_not_the_runs_are_asked_as_a_whole(
    run: Path, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.rmtree(folder)
    for label, name in enumerate(("ant", "bee", "cow")):
        for index in range(2):
            write_image(folder.with_name("others") / name / f"new{index}.png", label, 90 + index)
    assert evaluate(run, str(folder.with_name("others")))["images"] == 6
    assert f"others are not the data of the run in {run}: of 6 image(s) 6 are asked." in caplog.text
    rows = "".join(f"{name}/new{i}.png,{name},test\n" for name in ("ant", "bee", "cow") for i in range(i_of(name)))
    table = folder.with_name("others") / "own.csv"
    table.write_text("image,label,split\n" + rows, encoding="utf-8")
    caplog.clear()
    assert evaluate(run, str(table))["images"] == 4
    assert not caplog.text
    with pytest.raises(UserError, match="has no image of the split train, but of test: add some"):
        with_splits(load_dataset(table), Protocol())


def test_data_may_lack_classes_or_have_them_in_another_order(
    run: Path, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole = evaluate(run, str(folder))
    assert not caplog.text
    named = [name for name in record(run)["test_files"] if not name.startswith("ant/")]
    table = folder / "some.jsonl"
    rows = [{"image": name, "label": name.partition("/")[0], "split": "test"} for name in named]
    table.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    some = evaluate(run, str(table))
    assert some["images"] == len(named) < whole["images"]
    assert "some has none of 1 of 3 classes, such as ant" in caplog.text
    for one, other in zip(some["scores"]["per_class"][1:], whole["scores"]["per_class"][1:], strict=True):
        assert (one["name"], one["support"], one["recall"]) == (other["name"], other["support"], other["recall"])
    flags = [{"image": name} | {c: int(name.startswith(c)) for c in ("cow", "bee")} for name in named]
    table.write_text("".join(f"{json.dumps(row)}\n" for row in flags), encoding="utf-8")
    several = among(load_dataset(f"{table}#label=cow,bee"), ["ant", "bee", "cow"])
    assert several.train.known_labels.tolist() == [[0, row["bee"], row["cow"]] for row in flags]


def i_of(name: str) -> int:
    return 2 if name == "ant" else 1


@pytest.mark.parametrize("spelling", ["absolute", "above", "grown"])
def test_the_runs_files_are_known_however_a_table_spells_them(
    spelling: str, folder: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.png"))

    def table(path: Path, spell: Callable[[str], str]) -> str:
        path.parent.mkdir(exist_ok=True)
        rows = [f"{spell(name)},{name.partition('/')[0]}\n" for name in names]
        path.write_text("".join(["image,label\n", *rows]), encoding="utf-8")
        return str(path)

    first = table(folder / "first.csv", str)
    recipe = {"epochs": 1, "batch_size": 8}
    own = RunConfig.resolve(first, str(weights), "linear", recipe=recipe, probe=False)
    tune(own, tmp_path / "run", analysed=False)
    if spelling == "grown":
        write_image(folder / "ant" / "new.png", 0, 99)
        names.append("ant/new.png")
    names.reverse()
    monkeypatch.chdir(folder.parent)
    there = folder if spelling == "absolute" else Path("..") / folder.name
    other = table(Path("aside") / "other.csv", lambda name: str(there / name))
    found = splits_for(load_dataset(other), Protocol(), tmp_path / "run", whole=False)
    for part, kept in ((found.train, "train_files"), (found.test, "test_files")):
        assert sorted(os.path.relpath(str(image), folder) for image in part.images) == sorted(
            record(tmp_path / "run")[kept]
        )


def test_what_images_hold_tells_the_runs_own_from_others(
    run: Path, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Others of the same names, its own under others, and both together."""
    test = evaluate(run, str(folder))
    named = record(run)
    assert not caplog.text
    other = folder.with_name("other")
    for name in named["test_files"] + named["train_files"][:4]:
        write_image(other / name, ["ant", "bee", "cow"].index(name[:3]), 90 + int(Path(name).stem))
    assert evaluate(run, str(other))["images"] == len(named["test_files"]) + 4
    flat = folder.with_name("flat")
    for number, path in enumerate(sorted(folder.rglob("*.png"), reverse=True)):
        (flat / path.parent.name).mkdir(parents=True, exist_ok=True)
        shutil.copy(path, flat / path.parent.name / f"f{number}.png")
    caplog.clear()
    assert evaluate(run, str(flat)) == {**test, "dataset": "flat"}
    assert not caplog.text
    write_image(flat / "ant" / "more.png", 0, 99)
    assert evaluate(run, str(flat))["images"] == test["images"]
    assert (
        f"flat has the test split of the run in {run}, which is asked; 1 image(s) besides are left out" in caplog.text
    )
    for name in (*named["train_files"][:3], named["test_files"][0]):
        shutil.copy(folder / name, other / name[:3] / f"own-{Path(name).name}")
    caplog.clear()
    assert evaluate(run, str(other))["images"] == len(named["test_files"]) + 5
    assert "are asked, and not the 3 that it was trained or selected on" in caplog.text
    caplog.clear()
    table = other / "test.csv"
    rows = [f"{path.relative_to(other)},{path.parent.name},test\n" for path in sorted(other.rglob("*.png"))]
    table.write_text("".join(["image,label,split\n", *rows]), encoding="utf-8")
    assert evaluate(run, str(table))["images"] == len(rows)  # whoever names a test split has it
    assert f"3 of its test image(s) are ones that the run in {run} was trained or selected on" in caplog.text


def test_files_that_are_called_alike_are_said(run: Path, folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    before = {name: held for name, held in record(run).items() if not name.endswith("_contents")}
    (run / "split.json").write_text(json.dumps(before), encoding="utf-8")  # as runs were that lack them
    moved = folder.rename(folder.with_name("moved"))
    rows = [f"moved/{name},{name.partition('/')[0]}\n" for name in record(run)["train_files"]]
    table = moved.with_name("other.csv")
    table.write_text("".join(["image,label\n", *rows]), encoding="utf-8")
    assert evaluate(run, str(table))["images"] == len(rows)
    assert f"called as {len(rows)} of the run in {run} are" in caplog.text
    assert "it may have been trained on them" in caplog.text


def test_resume_keeps_to_the_recorded_split(run: Path, folder: Path) -> None:
    before, metrics = (
        (run / "split.json").read_bytes(),
        json.loads((run / "metrics.json").read_text(encoding="utf-8")),
    )
    grow(folder)
    (run / "metrics.json").unlink()
    assert tune(read_run(run), run, resume=True).metrics["test_accuracy"] == metrics["test_accuracy"]
    assert (run / "split.json").read_bytes() == before
    (run / "metrics.json").unlink()
    write_image(folder / "bat" / "0.png", 1, 0)
    with pytest.raises(UserError, match=r"other classes than the run in .*: bat differs"):
        tune(read_run(run), run, resume=True)


def test_a_run_that_a_full_disk_stopped_goes_on(folder: Path, weights: Path, tmp_path: Path, monkeypatch) -> None:
    own = RunConfig.resolve(str(folder), str(weights), "linear", recipe={"epochs": 1, "batch_size": 8})
    replace = os.replace

    def full(source: Path, target: Path) -> None:
        if target.name == CHECKPOINT:
            raise OSError(errno.ENOSPC, "No space left on device")
        replace(source, target)

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", full)
        with pytest.raises(UserError, match=r"checkpoint.pt cannot be written .*free space there"):
            tune(own, tmp_path / "run")
    assert tune(read_run(tmp_path / "run"), tmp_path / "run", resume=True).metrics["test_accuracy"] is not None


def test_a_record_of_numbers_is_followed_while_they_fit(run: Path, folder: Path) -> None:
    before, old = splits_of(run, folder), record(run)
    old = {key: old[key] for key in ("seed", "made", "train", "val", "test")}
    (run / "split.json").write_text(json.dumps(old), encoding="utf-8")
    assert splits_of(run, folder) == before
    grow(folder)
    with pytest.raises(UserError, match=r"has numbers for its images, not names: restore .* move .*split\.json away"):
        evaluate(run, str(folder))
    (run / "split.json").write_text("{}", encoding="utf-8")
    with pytest.raises(UserError, match=r"split\.json is damaged"):
        evaluate(run, str(folder))
    (run / "split.json").unlink()
    assert evaluate(run, str(folder))["images"] == 8


INDICES = ([-1], [True], ["1"], [0.0], [0, 0], [9999], [10**30], 3, [None], {"0": 1})
FILES = ([7], [None], [""], ["/etc/passwd"], ["../ant/0.png"], ["ant/0.png", "ant/0.png"], None, "ant/0.png", [["x"]])


@pytest.mark.parametrize(
    "change",
    [
        *({"test": odd} for odd in INDICES),
        *({"train": odd} for odd in (None, *INDICES)),
        *({"test_files": odd} for odd in FILES),
        *({"unused_files": odd} for odd in FILES),
        {"test": [0], "train": [0], "val": [1]},
        {"test": None},
        {"classes": "abc"},
        {"fingerprint": 3},
    ],
    ids=str,
)
def test_a_damaged_record_is_one_sentence(change: dict, folder: Path, tmp_path: Path) -> None:
    dataset = load_dataset(folder)
    damaged = {**with_splits(dataset, Protocol()).record, **change}
    (tmp_path / "split.json").write_text(json.dumps(damaged), encoding="utf-8")
    for whole in (True, False):
        with pytest.raises(UserError, match=r"split\.json is damaged \(.*\): restore it, or start the run anew\.$"):
            splits_for(dataset, Protocol(), tmp_path, whole=whole)


def test_a_record_whose_numbers_and_names_differ_is_damaged(folder: Path, tmp_path: Path) -> None:
    dataset = load_dataset(folder)
    record = with_splits(dataset, Protocol()).record
    record["test"][0], record["train"][0] = record["train"][0], record["test"][0]
    (tmp_path / "split.json").write_text(json.dumps(record), encoding="utf-8")
    with pytest.raises(UserError, match=r"and .*_files are not the same images"):
        splits_for(dataset, Protocol(), tmp_path)


def test_images_that_moved_within_the_data_are_told(folder: Path, tmp_path: Path) -> None:
    record = with_splits(load_dataset(folder), Protocol()).record
    (tmp_path / "split.json").write_text(json.dumps(record), encoding="utf-8")
    for split in ("train", "test"):  # the test images into test/, all others into train/
        for name in ("ant", "bee", "cow"):
            (folder / split / name).mkdir(parents=True)
    for name in (name for names in NAMES for name in record[names]):
        (folder / name).rename(folder / ("test" if name in record["test_files"] else "train") / name)
    for name in ("ant", "bee", "cow"):
        (folder / name).rmdir()
    first = record["train_files"][0]
    for whole in (True, False):
        with pytest.raises(UserError, match=f"none of the images .* such as {first}, which may be train/{first} now"):
            splits_for(load_dataset(folder), Protocol(), tmp_path, whole=whole)


@pytest.mark.parametrize("split", ["foo", "record", "", None])
def test_a_split_that_there_is_not(split: Any, folder: Path) -> None:
    with pytest.raises(UserError, match=r"no split named .*: known are test, train, val|did you mean"):
        evaluate("nowhere", str(folder), split=split)


def test_given_splits_are_recorded_too(tmp_path: Path) -> None:
    root, run = tmp_path / "data", tmp_path / "run"
    for split in ("train", "test"):
        for label in (0, 1):
            for index in range(6):
                write_image(root / split / "ab"[label] / f"{index}.png", label, index)
    run.mkdir()
    record = with_splits(load_dataset(root), Protocol(train_images=8)).record
    (run / "split.json").write_text(json.dumps(record), encoding="utf-8")
    before = splits_of(run, root)
    assert all(name.startswith("test/") for name in before[2])
    (root / "train" / "a" / "0.png").rename(root / "test" / "a" / "from-train.png")
    assert splits_of(run, root, whole=False)[2] == before[2]


def test_arrays_are_known_by_their_numbers_and_labels(tmp_path: Path) -> None:
    pixel = np.zeros((1, 1, 3), dtype=np.uint8)

    def dataset(name: str, count: int) -> Dataset:
        return Dataset(name, ("a", "b"), Examples([pixel] * count, np.arange(count) % 2))

    made = with_splits(dataset("toy", 20), Protocol()).record
    (tmp_path / "split.json").write_text(json.dumps(made), encoding="utf-8")
    assert "test_files" not in made
    other = Protocol(split_seed=9)  # a cut anew would differ
    assert splits_for(dataset("toy", 20), other, tmp_path).record["test"] == made["test"]
    with pytest.raises(UserError, match="toy has changed since the run"):
        splits_for(dataset("toy", 22), other, tmp_path)
    assert len(splits_for(dataset("another", 22), other, tmp_path).test) == 5
