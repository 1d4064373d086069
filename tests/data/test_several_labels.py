"""Tables whose examples may have several labels: three forms of the same, and how they are split."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_table_files import write

from conftest import write_image
from selfprompt.data.cells import in_cells
from selfprompt.data.columns import Columns
from selfprompt.data.datasets import Dataset, with_splits
from selfprompt.data.examples import Examples
from selfprompt.data.protocol import Protocol, of_its_kind
from selfprompt.data.rows import Row
from selfprompt.data.sources import load_located
from selfprompt.data.sources.table import load_table
from selfprompt.data.splits import cut_several
from selfprompt.data.tables import apart, with_columns
from selfprompt.data.text_problems import doubled, doubtful, parts_in
from selfprompt.errors import UserError

NAMES = ["ant", "bee", "cow"]
LABELS = np.random.default_rng(0).random((40, 3)) < [0.6, 0.4, 0.2]
LABELS[:3], LABELS[3] = np.eye(3, dtype=bool), False


def words(row: np.ndarray) -> list[str]:
    return [name for name, own in zip(NAMES, row) if own]


FORMS: dict[str, Any] = {
    "separator": ("csv", lambda row: {"label": " ; ".join(words(row))}, {"label_separator": ";"}),
    "lists": ("jsonl", lambda row: {"label": words(row)}, {}),
    "lists in parquet": ("parquet", lambda row: {"label": words(row)}, {}),
    "columns": ("csv", lambda row: dict(zip(NAMES, row.astype(int))), {"label_column": "ant, bee,cow"}),
    "columns of booleans": ("parquet", lambda row: dict(zip(NAMES, row.tolist())), {"label_column": "ant,bee,cow"}),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("inputs", ["image", "text"])
def test_every_form_is_the_same_data(form: str, inputs: Any, tmp_path: Path) -> None:
    kind, cells, columns = FORMS[form]
    for i in range(40):
        write_image(tmp_path / f"{i}.png", i % 3, i)
    source = [f"{i}.png" if inputs == "image" else f"words of {i}" for i in range(40)]
    rows = [{inputs: source[i], **cells(LABELS[i]), "split": ("train", "test")[i >= 30]} for i in range(40)]
    data = with_columns(str(write(tmp_path, rows, kind)), columns)
    assert apart(str(data))[1] == Columns(**columns)
    found = load_located(str(data), inputs)
    assert found.class_names == tuple(NAMES)
    assert found.train.multi_label
    assert (found.train.known_labels == LABELS[:30]).all()
    assert found.test is not None
    assert (found.test.known_labels == LABELS[30:]).all()
    if inputs == "text":
        parts = parts_in(found)
        assert doubtful(parts, doubled(parts)) == []


BAD: dict[str, tuple[str, dict[str, str], str]] = {
    "no such column": (
        "image,ant,bee\n0.png,1,0\n",
        {"label_column": "ant,owl"},
        r"no column 'owl' \(--label-column",
    ),
    "twice": ("image,ant,bee\n0.png,1,0\n", {"label_column": "ant,ant"}, "column 'ant' twice"),
    "two forms": (
        "image,ant,bee\n0.png,1,0\n",
        {"label_column": "ant,bee", "label_separator": "|"},
        "names a column for each class: leave --label-separator out",
    ),
    "no flag": ("image,ant,bee\n0.png,1,2\n", {"label_column": "ant,bee"}, "line 2 has '2' in bee: write 0 or 1"),
    "one label twice": (
        "image,label\n0.png,a|a\n",
        {"label_separator": "|"},
        "line 2 has 'a|a' in label: write each",
    ),
    "an empty class": (
        "image,ant,bee,cow\n0.png,1,0,0\n1.png,0,1,0\n",
        {"label_column": "ant,bee,cow"},
        "has the column cow, of which there is no training row",
    ),
    "nothing beside several": (
        "image,label\n0.png,a|b\n1.png,\n",
        {},
        r"line 3 has nothing in label: fill it in, or let an empty cell have no label \(--label-separator '|'\)",
    ),
    "nothing beside one": (
        "image,label\n0.png,a\n1.png,\n",
        {},
        "line 3 has nothing in label: fill it in, or remove the row",
    ),
    "no class": ("image,label\n0.png,\n", {"label_separator": "|"}, "has no class to train on"),
}


@pytest.mark.parametrize("bad", BAD)
def test_what_is_wrong_is_named(bad: str, tmp_path: Path) -> None:
    text, columns, sentence = BAD[bad]
    (tmp_path / "t.csv").write_text(text, encoding="utf-8")
    for i in range(2):
        write_image(tmp_path / f"{i}.png", i, i)
    with pytest.raises(UserError, match=sentence.replace("|", r"\|")):
        load_table(tmp_path / "t.csv", Columns(**columns))


def test_a_separator_is_never_guessed_but_said(tmp_path: Path, caplog) -> None:
    rows = [{"image": f"{i}.png", "label": ("a|b", "a")[i]} for i in range(2)]
    for i in range(2):
        write_image(tmp_path / f"{i}.png", i, i)
    with caplog.at_level(logging.WARNING):
        found = load_table(write(tmp_path, rows))
    assert found.class_names == ("a", "a|b")
    assert not found.train.multi_label
    hint = "'a|b' is read as one label: --label-separator '|' reads several in a cell, and none in an empty one"
    assert hint in caplog.text


@pytest.mark.parametrize(("cells", "said"), [(("a, b", "a", "b"), True), (("dogs, small", "dogs", "cats"), False)])
def test_a_comma_between_labels_that_stand_alone_elsewhere_is_said(cells: tuple, said: bool, caplog) -> None:
    rows = [Row(f"line {i}", {"label": cell}) for i, cell in enumerate(cells)]
    with caplog.at_level(logging.WARNING):
        assert in_cells(rows, "label", None) is None
    assert ("'a, b' is read as one label: --label-separator ',' reads several" in caplog.text) == said


@pytest.mark.parametrize("share", [0.2, 0.5, 0.7])
@pytest.mark.parametrize("grouped", [False, True])
def test_cuts_keep_shares_groups_and_one_of_each_class(share: float, grouped: bool) -> None:
    rng = np.random.default_rng(0)
    labels = rng.random((400, 6)) < [0.6, 0.3, 0.1, 0.05, 0.02, 0]
    labels[0, 5] = True
    groups, pool = (rng.integers(0, 100, 400) if grouped else None), rng.permutation(400)[:300]
    pool = np.sort(np.union1d(pool, [0]))
    kept, off, _ = cut_several(labels, groups, pool, share, 0)
    assert (np.sort(np.concatenate([kept, off])) == pool).all()
    assert labels[kept].any(axis=0).all()
    assert np.array_equal(kept, cut_several(labels, groups, pool, share, 0)[0])
    shares = labels[off].sum(axis=0)[:3] / labels[pool].sum(axis=0)[:3]
    assert np.abs(shares - share).max() < 0.12
    assert abs(len(off) / len(pool) - share) < 0.06
    assert groups is None or not set(groups[kept]) & set(groups[off])


def test_what_counts_images_of_one_class_is_refused() -> None:
    data = Dataset("d", tuple(NAMES), Examples([f"{i}.png" for i in range(40)], LABELS))
    splits = with_splits(data, Protocol())
    assert [len(part) for part in (splits.train, splits.val, splits.test)] == pytest.approx([26, 6, 8], abs=2)
    assert sum(len(splits.record[part]) for part in ("train", "val", "test")) == 40
    for flag, changes in (("--shots", {"shots": 1}), ("--train-images", {"train_images": 9})):
        with pytest.raises(UserError, match=f"several labels an example: leave {flag} out"):
            with_splits(data, Protocol(**changes))
    with pytest.raises(UserError, match="--classes base is for images of one class each"):
        splits.of("base")
    with pytest.raises(UserError, match=r"argmax\(axis=1\), or booleans"):
        Examples(data.train.images, LABELS.astype(int))


def test_the_protocol_says_so_and_no_other_hash_changes() -> None:
    one = Examples([np.zeros((8, 8, 3), np.uint8)] * 40, np.arange(40) % 3)
    several = Examples(one.images, LABELS)
    assert Protocol().completed(one) == Protocol()
    known = Protocol().completed(several)
    assert (known.multi_label, known.metric) == (True, "map")
    assert known.hash != Protocol().hash
    stored = of_its_kind(Protocol().model_dump())
    assert (stored, stored.completed(several)) == (Protocol(), known)
    with pytest.raises(
        UserError, match="--metric top1 is not for data with several labels an example: use --metric map"
    ):
        Protocol(metric="top1").completed(several)
