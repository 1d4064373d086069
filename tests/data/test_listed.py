"""Benchmarks on disk: every layout, on trees made here, and what is wrong with one named in a sentence."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from selfprompt.comparison.bench import bench
from selfprompt.comparison.suites import SUITES
from selfprompt.comparison.workers import Workers
from selfprompt.data.datasets import Dataset
from selfprompt.data.listed import Expected, fgvc_layouts, find, id_lists
from selfprompt.data.sources import cars, dogs, flowers, load_dataset
from selfprompt.errors import UserError

EXPECTED = Expected("birds", classes=2, labelled=4, test=2)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SELFPROMPT_DATA", str(tmp_path))
    return tmp_path


def images(folder: Path, names: list[str]) -> None:
    pixel = io.BytesIO()
    Image.new("RGB", (1, 1)).save(pixel, "png")
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(pixel.getvalue())


Check = Callable[[Dataset, list[int], list[int]], None]


@pytest.fixture
def check(tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch) -> Check:
    """The labels of a tree, and that it runs through a benchmark to measured, published and difference."""

    def run(dataset: Dataset, train: list[int], test: list[int]) -> None:
        assert dataset.train.labels.tolist() == train
        assert dataset.test is not None
        assert dataset.test.labels.tolist() == test
        assert all(Path(str(path)).is_file() for path in [*dataset.train.images, *dataset.test.images])
        for module in ("runs.material", "comparison.bench"):
            monkeypatch.setattr(f"selfprompt.{module}.load_located", lambda data, inputs=None: dataset)
        text = table_of("fgvc", "cub", weights, tmp_path / "out", monkeypatch)
        assert "fgvc, published (measured minus published; source)" in text
        assert re.search(r"80\.5 \([+-][0-9.]+; unnamed in spt2024\)", text)

    return run


def table_of(suite: str, task: str, weights: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """One task of a suite through the benchmark, in this process."""
    monkeypatch.setattr(Workers, "run", lambda self, units: [unit.work(*unit.arguments) for unit in units])
    whole = SUITES[suite]["spt2024"]
    (group,) = (name for name, tasks in whole.groups.items() if task in tasks)
    small = replace(
        whole,
        groups={group: (task,)},
        backbone=str(weights),
        protocol=whole.protocol | {"image_size": 32} | ({"val_fraction": 0.5} if suite == "fgvc" else {}),
        recipe={"epochs": 1, "batch_size": 64},
        trials=1,
    )
    bench(small, ["full"], out, seeds=1)
    return (out / "table.md").read_text(encoding="utf-8")


def test_vpts_json(root: Path, check: Check) -> None:
    home = root / "CUB_200_2011"
    images(home / "images", ["a 1.jpg", "a2.jpg", "b1.jpg", "b2.jpg", "a3.jpg", "b3.jpg"])
    (home / "train.json").write_text(json.dumps({"a 1.jpg": "7", "b1.jpg": "31", "a2.jpg": "7"}), encoding="utf-8")
    (home / "val.json").write_text(json.dumps({"b2.jpg": "31"}), encoding="utf-8")
    (home / "test.json").write_text(json.dumps({"b3.jpg": "31", "a3.jpg": "7"}), encoding="utf-8")
    found = find(EXPECTED, ("cub-200-2011",), fgvc_layouts("cub200", id_lists))
    check(found, [0, 1, 0], [1, 0])
    assert found.val is not None
    assert found.val.labels.tolist() == [1]
    assert found.class_names == ("7", "31")


@pytest.mark.parametrize("above", [False, True])
def test_spts_text_lists(root: Path, above: bool, check: Check) -> None:
    home = root / "deep" / "Dogs"
    images(home / "images", ["a 1.jpg", "a2.jpg", "b1.jpg", "b2.jpg", "a3.jpg", "b3.jpg"])
    lists = home.parent if above else home
    (lists / "Dogs_train.txt").write_text("a 1.jpg 0\na2.jpg 0\nb1.jpg 1\nb2.jpg 1\n", encoding="utf-8")
    (lists / "Dogs_test.txt").write_text("a3.jpg 0\nb3.jpg 1\n", encoding="utf-8")
    check(find(EXPECTED, ("StanfordDogs", "Dog"), fgvc_layouts("Dogs", dogs.original)), [0, 0, 1, 1], [0, 1])


def test_cubs_own(root: Path, check: Check) -> None:
    home = root / "cub_200_2011"
    names = ["001.A/1.jpg", "001.A/2.jpg", "200.B/1.jpg", "200.B/2.jpg", "001.A/3.jpg", "200.B/3.jpg"]
    images(home / "images", names)
    (home / "images.txt").write_text("".join(f"{i} {name}\n" for i, name in enumerate(names)), encoding="utf-8")
    (home / "image_class_labels.txt").write_text(
        "".join(f"{i} {int(n[:3])}\n" for i, n in enumerate(names)), encoding="utf-8"
    )
    (home / "train_test_split.txt").write_text("".join(f"{i} {int(i < 4)}\n" for i in range(6)), encoding="utf-8")
    check(find(EXPECTED, ("CUB_200_2011",), fgvc_layouts("cub200", id_lists)), [0, 0, 1, 1], [0, 1])


def test_flowers_own(root: Path, check: Check) -> None:
    home = root / "flowers-102"
    images(home / "jpg", [f"image_{i:05d}.jpg" for i in range(1, 7)])
    savemat(home / "imagelabels.mat", {"labels": np.array([[1, 2, 1, 2, 1, 2]])})
    sets = {"trnid": np.array([[1, 2]]), "valid": np.array([[3, 4]]), "tstid": np.array([[6, 5]])}
    savemat(home / "setid.mat", sets)
    check(find(EXPECTED, ("flowers102",), fgvc_layouts("Flowes", flowers.original)), [0, 1], [1, 0])


def test_dogs_own(root: Path, check: Check) -> None:
    home = root / "Stanford_Dogs"
    names = ["n1-a/1.jpg", "n1-a/2.jpg", "n2-b/1.jpg", "n2-b/2.jpg", "n1-a/3.jpg", "n2-b/3.jpg"]
    images(home / "Images", names)
    (home / "lists").mkdir()
    for split, rows in (("train", slice(0, 4)), ("test", slice(4, 6))):
        files, labels = np.array(names[rows], dtype=object), np.array([1, 1, 2, 2, 1, 2][rows])
        savemat(home / "lists" / f"{split}_list.mat", {"file_list": files[:, None], "labels": labels[:, None]})
    check(find(EXPECTED, ("StanfordDogs",), fgvc_layouts("Dogs", dogs.original)), [0, 0, 1, 1], [0, 1])


def test_cars_own(root: Path, check: Check) -> None:
    home = root / "stanford_cars"
    kind = np.dtype([("class", object), ("fname", object)])
    for split, labels, file in (("train", [1, 1, 2, 2], "_annos"), ("test", [1, 2], "_annos_withlabels")):
        names = [f"{i:05d}.jpg" for i in range(1, len(labels) + 1)]
        images(home / f"cars_{split}", names)
        (home / "devkit").mkdir(exist_ok=True)
        if split == "test":
            with pytest.raises(UserError, match=r"cars_test_annos_withlabels.mat is missing"):
                find(EXPECTED, ("StanfordCars",), fgvc_layouts("Cars", cars.original))
        notes = np.array([tuple(pair) for pair in zip(labels, names)], dtype=kind)
        savemat(home / "devkit" / f"cars_{split}{file}.mat", {"annotations": notes[None]})
    check(find(EXPECTED, ("StanfordCars",), fgvc_layouts("Cars", cars.original)), [0, 0, 1, 1], [0, 1])


def kitti(folder: Path, lists: dict[str, list[str]]) -> None:
    images(folder, [line.rpartition(" ")[0] for lines in lists.values() for line in lines])
    for name, lines in lists.items():
        (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")


def lines(split: str, count: int, shift: int = 0) -> list[str]:
    return [f"images/{split}/{i:06d}.png {i % 4 + shift}" for i in range(count)]


WHOLE = {"train800.txt": lines("a", 800), "val200.txt": lines("b", 200), "test.txt": lines("c", 711)}


@pytest.mark.parametrize("layout", ["noah", "spt"])
def test_vtab(layout: str, root: Path, weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if layout == "noah":
        kitti(
            root / "kitti",
            {"train800.txt": lines("a", 800), "val200.txt": lines("b", 200), "test.txt": lines("c", 711)},
        )
    else:
        home = root / "VTAB-1K" / "Structured" / "Kitti"
        kitti(home, {"train800val200.txt": lines("a", 1000), "test.txt": lines("c", 711)})
    found = load_dataset("vtab/kitti")
    assert found.name == "vtab/kitti"
    assert len(found.train) == (800 if layout == "noah" else 1000)
    assert (found.val is None) == (layout == "spt")
    assert np.array_equal(found.train.labels[:5], [0, 1, 2, 3, 0])
    assert "; vpt2022 in vfpt2024)" in table_of("vtab1k", "vtab/kitti", weights, root / "out", monkeypatch)


def test_what_is_wrong_is_named(root: Path) -> None:
    with pytest.raises(UserError, match=r"vtab/kitti was not found: .* has no folder kitti; set SELFPROMPT_DATA"):
        load_dataset("vtab/kitti")
    with pytest.raises(UserError, match="cub was not found"):
        load_dataset("cub")
    kitti(root / "kitti", WHOLE)
    load_dataset("vtab/kitti")

    (root / "kitti" / "images/c/000003.png").unlink()
    with pytest.raises(UserError, match=r"the test list in .*kitti has .*000003.png, which is not there"):
        load_dataset("vtab/kitti")
    kitti(root / "kitti", {**WHOLE, "test.txt": lines("c", 710)})
    with pytest.raises(UserError, match="kitti lists 710 test images, not 711"):
        load_dataset("vtab/kitti")
    kitti(root / "kitti", {**WHOLE, "test.txt": lines("c", 711, shift=1)})
    with pytest.raises(UserError, match=r"test list in .* has the label 4, which the train list lacks .* shifted"):
        load_dataset("vtab/kitti")
    kitti(root / "kitti", {**WHOLE, "val200.txt": lines("a", 200)})
    with pytest.raises(UserError, match="is in both train and val"):
        load_dataset("vtab/kitti")
    (root / "kitti" / "test.txt").write_text("images/c/000000.png\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"test.txt, line 1: .* is not a path and a number"):
        load_dataset("vtab/kitti")
    (root / "kitti" / "test.txt").unlink()
    with pytest.raises(UserError, match="kitti is laid out in no way that is known"):
        load_dataset("vtab/kitti")
