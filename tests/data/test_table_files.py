"""Tables as data: right, or refused in one sentence that names the row and the fix."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable, Iterable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conftest import write_image
from selfprompt.data.columns import Columns
from selfprompt.data.datasets import Dataset, with_splits
from selfprompt.data.examples import Examples
from selfprompt.data.images import read_image
from selfprompt.data.protocol import Protocol
from selfprompt.data.recorded import image_names
from selfprompt.data.rows import as_names, column_names, in_order
from selfprompt.data.sources import load_dataset, load_located, locate
from selfprompt.data.sources.table import load_table
from selfprompt.data.tables import apart, with_columns
from selfprompt.errors import UserError
from selfprompt.runs.streaming import listed, table_cells
from selfprompt.runs.texts import strings

ROWS = [
    {"file": f"pictures/{i}.png", "species": ("ant", "bee", "10")[i % 3], "patient": f"P{i // 6}"} for i in range(36)
]


def write(folder: Path, rows: list[dict[str, Any]], kind: str = "csv", name: str = "labels") -> Path:
    """A table of rows, and a picture for each file that it names."""
    path = folder / f"{name}.{kind}"
    folder.mkdir(exist_ok=True, parents=True)
    if kind == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n\n" for row in rows), encoding="utf-8")
    elif kind == "parquet":
        parquet = pytest.importorskip("pyarrow.parquet")
        import pyarrow

        parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    else:
        mark = "\t" if kind == "tsv" else ","
        lines = [mark.join(rows[0]), *(mark.join(map(str, row.values())) for row in rows)]
        path.write_text("\ufeff" + "\r\n".join(lines) + "\r\n", encoding="utf-8")
    return path


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    for i in range(36):
        write_image(tmp_path / "pictures" / f"{i}.png", i % 3, i)
    return tmp_path


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "parquet"])
def test_every_format_is_the_same_data(kind: str, pictures: Path) -> None:
    rows = [{**row, "Split": ("train", "VAL", "testing")[min(2, i // 12)]} for i, row in enumerate(ROWS)]
    path = write(pictures, rows, kind)
    found = load_dataset(f"{path}#label=species")
    assert found.class_names == ("10", "ant", "bee")
    for i, part in enumerate((found.train, found.val, found.test)):
        assert part is not None
        own = rows[12 * i : 12 * i + 12]
        assert [str(file) for file in part.images] == [str(pictures / row["file"]) for row in own]
        assert [found.class_names[j] for j in part.known_labels] == [row["species"] for row in own]
    assert found.files()["train"][0] == "pictures/0.png"


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl"])
def test_a_table_in_utf_16_is_read_by_its_mark(kind: str, encoding: str, pictures: Path) -> None:
    rows = [{**row, "text": f"caf\u00e9 {i}"} for i, row in enumerate(ROWS)]
    path = write(pictures, rows, kind)
    path.write_bytes(f"\ufeff{path.read_text(encoding='utf-8-sig')}".encode(encoding))
    assert load_located(f"{path}#label=species&input=file", "image").class_names == ("10", "ant", "bee")
    found = load_located(f"{path}#label=species&input=text", "text")
    assert [found.class_names[found.train.known_labels[1]], found.train.images[1]] == ["bee", ("caf\u00e9 1",)]
    assert column_names(path) == ["file", "species", "patient", "text"]


def test_columns_are_found_by_name_or_given(pictures: Path) -> None:
    plain = write(pictures, [{"image": r["file"], "label": r["species"], "group": r["patient"]} for r in ROWS])
    odd = write(
        pictures, [{"a#b": r["file"], "c&d=e": r["species"], "patient": r["patient"]} for r in ROWS], name="o"
    )
    chosen = {"input_column": "a#b", "label_column": "c&d=e", "group_column": "patient"}
    given = with_columns(str(odd), chosen)
    assert apart(locate(given)) == (str(odd), Columns(**chosen))
    for one, other in zip(load_dataset(plain).own.values(), load_located(locate(given)).own.values(), strict=True):
        assert [str(x) for x in one.images] == [str(x) for x in other.images]
        assert (one.labels == other.labels).all()
        assert (one.groups == other.groups).all()
    assert with_columns("hf:owner/name", {"label_column": "kind"}) == "hf:owner/name#kind"
    assert with_columns("hf:owner/name#test=fold1", {"label_column": "kind"}) == "hf:owner/name#test=fold1,kind"
    assert apart(with_columns(given, {"label_column": "d"}) or "") == (
        str(odd),
        Columns(**chosen | {"label_column": "d"}),
    )
    assert with_columns("photos", {}) == "photos"


def test_numbers_are_sorted_as_numbers(pictures: Path) -> None:
    rows = [{"image": r["file"], "label": (2, 10, 1)[i % 3]} for i, r in enumerate(ROWS)]
    for kind in ("csv", "parquet"):
        assert load_dataset(write(pictures, rows, kind)).class_names == ("1", "2", "10")


def test_equal_numbers_are_one_class_however_they_are_written(pictures: Path) -> None:
    rows = [{"image": r["file"], "label": (".1", "+0.10", "-0", "0")[i % 4]} for i, r in enumerate(ROWS)]
    assert load_dataset(write(pictures, rows)).class_names == ("0", "0.1")


def test_parquet_as_the_hub_has_it(pictures: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    import pyarrow

    features = {"label": {"_type": "ClassLabel", "names": ["dog", "cat"]}, "image": {"_type": "Image"}}
    images = [{"bytes": None, "path": row["file"]} for row in ROWS]
    table = pyarrow.table({"image": images, "label": [i % 2 for i in range(len(ROWS))]})
    kept = {"huggingface": json.dumps({"info": {"features": features}})}
    parquet.write_table(table.replace_schema_metadata(kept), pictures / "hub.parquet")
    dataset = load_dataset(pictures / "hub.parquet")
    assert dataset.class_names == ("cat", "dog")
    assert dataset.train.known_labels.tolist() == [(i + 1) % 2 for i in range(len(ROWS))]
    assert [str(image) for image in dataset.train.images] == [str(pictures / row["file"]) for row in ROWS]


def test_files_that_are_not_there_are_counted(tmp_path: Path) -> None:
    path = write(tmp_path, [{"file": "good", "label": "yes"}, {"file": "bad", "label": "no"}])
    with pytest.raises(UserError, match=r"line 2 names 'good', and there is no file .*good \(and 1 more\)"):
        load_table(path)


BAD: dict[str, tuple[str, str]] = {
    "missing": ("image,label\npictures/0.png,a\nno.png,b\n", r"line 3 names 'no.png', and there is no file"),
    "URL": (
        "image,label\npictures/0.png,a\nhttps://x.org/1.png,b\n",
        "line 3 names the URL 'https://x.org/1.png', which is not downloaded: download it, and name the file",
    ),
    "empty label": ("image,label\npictures/0.png,\n", "line 2 has nothing in label: fill it in"),
    "no label": (
        "image,kind\npictures/0.png,a\n",
        r"no label column .* among image, kind: name it \(--label-column\)",
    ),
    "no input": ("picture,label\npictures/0.png,a\n", r"no input column .*--input-column"),
    "two inputs": ("image,path,label\na,b,c\n", r"input columns image and path: choose one \(--input-column\)"),
    "two names": ("image,label,label\na,b,c\n", "two columns named 'label'"),
    "ragged": ("image,label\npictures/0.png\n", "line 2 has 1 cells and the header 2"),
    "quotes": ('image,label\n"pictures/0.png,a\n', "line 2 cannot be read"),
    "nothing": ("image,label\n", "has no rows"),
    "one class": ("image,label\npictures/0.png,a\n", "has the one class a"),
    "one file": ("image,label\npictures/0.png,a\n./pictures/0.png,b\n", "line 2 and .*line 3 are of one file"),
    "strange split": ("image,label,split\npictures/0.png,a,dev7\n", "line 2 is of the split 'dev7': write train"),
    "one class to ask": ("image,label,split\npictures/0.png,a,val\n", "has the one class a"),
    "tabs": ("image\tlabel\npictures/0.png\ta\n", "parts its columns by tabs, not by ',': save it with commas"),
    "strange class": (
        "image,label,split\npictures/0.png,a,train\npictures/1.png,b,train\npictures/2.png,c,test\n",
        "line 4 has the class c, of which there is no training row",
    ),
    "shared group": (
        "image,label,split,group\npictures/0.png,a,train,P\npictures/1.png,b,train,Q\npictures/2.png,a,test,P\n",
        "has the group P in train and in test",
    ),
}


@pytest.mark.parametrize("what", BAD)
def test_what_is_wrong_is_refused_by_its_place(what: str, pictures: Path) -> None:
    text, why = BAD[what]
    (pictures / "labels.csv").write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=why):
        load_dataset(pictures / "labels.csv")


@pytest.mark.parametrize(
    ("name", "contents", "why"),
    [
        ("a.jsonl", b'{"image": "x"\n', "line 1 is no JSON"),
        ("a.jsonl", b"[1]\n", "line 1 is no JSON object"),
        ("a.jsonl", b'{"image": "x", "label": {"a": 1}}\n', "line 1 has several values in label"),
        ("a.parquet", b"nothing", "is no Parquet file that can be read"),
        ("a.csv", b"\xff,label", "is not UTF-8"),
        ("a.csv", b"\xff\xfei\x00m", "is not UTF-8"),
        ("a.txt", b"image,label\n", r"is a file: give a table \(.csv, .tsv, .jsonl, .parquet\)"),
    ],
)
def test_damaged_files_are_refused(name: str, contents: bytes, why: str, pictures: Path) -> None:
    (pictures / "x").write_bytes(b"")
    (pictures / name).write_bytes(contents)
    with pytest.raises(UserError, match=why):
        load_dataset(pictures / name)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        ("{}#label=nothing", r"no column 'nothing' \(--label-column\), but file, species, patient"),
        ("{}#nothing", "names no columns behind #"),
        ("{}#kind=x", "names no columns behind #"),
    ],
)
def test_columns_that_are_not_there_are_refused(data: str, why: str, pictures: Path) -> None:
    with pytest.raises(UserError, match=why):
        load_dataset(data.format(write(pictures, ROWS)))


def test_flags_for_what_is_no_table_are_refused(pictures: Path, fails: Any) -> None:
    table = write(pictures, ROWS)
    for data, flags in ((pictures, ["--label-column", "x"]), ("hf:a/b", ["--group-column", "x"])):
        assert "cannot be taken with DATA" in fails("tune", data, *flags)
        assert "cannot be taken with DATA" in fails("evaluate", "adapter", data, *flags)
    assert "name it (--label-column)" in fails("tune", table)
    assert "leave --label-column out" in fails("tune", "--resume", pictures, "--label-column", "x")


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("share", [0.1, 0.2, 0.25, 0.5])
def test_groups_are_never_cut(seed: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    groups = np.repeat([f"P{i}" for i in range(40)], rng.integers(1, 9, 40))
    labels = rng.integers(0, 3, len(groups))
    data = Dataset("d", ("a", "b", "c"), Examples(list(np.zeros((len(groups), 2, 2), np.uint8)), labels, groups))
    splits = with_splits(data, Protocol(split_seed=seed, val_fraction=share, test_fraction=share))
    parts = [set(part.groups) for part in (splits.train, splits.val, splits.test)]
    assert sum(map(len, parts)) == len(set.union(*parts)) == 40
    assert abs(len(splits.test) / len(groups) - share) < 0.08
    again = with_splits(data, Protocol(split_seed=seed, val_fraction=share, test_fraction=share))
    assert splits.record == again.record
    for name in ("train", "val", "test"):
        found = np.bincount(getattr(splits, name).labels, minlength=3) / len(getattr(splits, name))
        assert abs(found - np.bincount(labels) / len(labels)).max() < 0.2


def test_groups_that_cannot_be_kept_whole_are_refused() -> None:
    images = list(np.zeros((8, 2, 2), np.uint8))
    few = Dataset("d", ("a", "b"), Examples(images, np.arange(8) % 2, np.arange(8) // 4))
    with pytest.raises(UserError, match=r"d has 2 group\(s\), too few"):
        with_splits(few, Protocol())
    many = Dataset("d", ("a", "b"), Examples(images, np.arange(8) % 2, np.arange(8)))
    with pytest.raises(UserError, match="leave --train-images out"):
        with_splits(many, Protocol(train_images=4))


def test_a_table_goes_from_file_to_adapter_and_back(pictures: Path, weights: Path, works: Any) -> None:
    table, out = write(pictures, ROWS), pictures / "run"
    flags = ["--label-column", "species", "--group-column", "patient"]
    options = ["--backbone", weights, "--method", "linear", "--epochs", 1, "--no-probe"]
    metrics = json.loads(works("tune", table, *flags, *options, "--out", out, "--json"))
    record = json.loads((out / "split.json").read_text(encoding="utf-8"))
    patients = [{int(Path(name).stem) // 6 for name in record[f"{part}_files"]} for part in ("train", "val", "test")]
    assert sum(map(len, patients)) == len(set.union(*patients)) == 6
    found = json.loads(works("evaluate", out, table, *flags, "--json"))
    assert found["test_accuracy"] == metrics["test_accuracy"]


def test_numbers_are_labels_and_groups_however_they_are_written(pictures: Path) -> None:
    rows = [
        {"file": f"pictures/{i}.png", "label": [1, 1.0, 2][i % 3], "group": [7, 7.0, 8, 9][i % 4]} for i in range(36)
    ]
    found = load_table(write(pictures, rows, "jsonl"))
    assert found.class_names == ("1", "2")
    assert found.train.groups is not None
    assert len(set(found.train.groups.tolist())) == 3


@pytest.mark.parametrize(
    ("cells", "names"),
    [
        (["1", "1.0", "2", "-0.50"], ["1", "1", "2", "-0.5"]),
        (["1.10", 1.1, Decimal("1.100"), None, "1e-05", "100"], ["1.1", "1.1", "1.1", "", "0.00001", "100"]),
        ([Decimal("1.00"), Decimal("-0.0"), Decimal("1E+2")], ["1", "0", "100"]),
        (["1", "01", "1.0"], ["1", "01", "1.0"]),
        (["1", "1.0", "1e5"], ["1", "1.0", "1e5"]),
        (["1", "1.0", "other"], ["1", "1.0", "other"]),
    ],
)
def test_equal_numbers_are_one_name_and_codes_stay(cells: list[Any], names: list[str]) -> None:
    assert as_names(cells) == names


def test_numbers_of_one_value_are_one_label_and_one_group(pictures: Path) -> None:
    rows = [
        {
            "file": f"pictures/{i}.png",
            "text": f"w{i}",
            "label": ["1", "1.0", "2"][i % 3],
            "group": ["7", "7.0", "8", "9"][i % 4],
            "several": ["1|2", "1.0", "2.0"][i % 3],
        }
        for i in range(36)
    ]
    path = write(pictures, rows)
    for kind, column in (("image", "file"), ("text", "text")):
        found = load_located(f"{path}#input={column}", kind)
        assert found.class_names == ("1", "2")
        assert found.train.known_labels[:3].tolist() == [0, 0, 1]
        assert found.train.groups is not None
        assert found.train.groups[:4].tolist() == ["7", "7", "8", "9"]
        several = load_located(f"{path}#input={column}&label=several&label_separator=|", kind)
        assert several.class_names == ("1", "2")
        assert several.train.known_labels[:3].tolist() == [[True, True], [True, False], [False, True]]


@pytest.mark.parametrize("kind", ["float16", "float32", "float64", "decimal"])
def test_numbers_of_any_type_are_named_as_a_person_would(kind: str, pictures: Path) -> None:
    parquet, pyarrow = pytest.importorskip("pyarrow.parquet"), pytest.importorskip("pyarrow")
    numbers = np.array([1.1, 2.0, 0.1] * 12, dtype=None if kind == "decimal" else kind)
    column = (
        pyarrow.array(numbers)
        if kind != "decimal"
        else pyarrow.array([Decimal("1.10"), Decimal(2), Decimal("0.10")] * 12)
    )
    found = {"file": [row["file"] for row in ROWS], "label": column, "group": column}
    parquet.write_table(pyarrow.table(found), pictures / "labels.parquet")
    dataset = load_table(pictures / "labels.parquet")
    assert dataset.class_names == ("0.1", "1.1", "2")
    assert dataset.train.groups is not None
    assert set(dataset.train.groups.tolist()) == {"0.1", "1.1", "2"}


def test_classes_that_are_one_number_have_an_order_of_their_own() -> None:
    assert in_order({"1", "01", "2"}) == ["01", "1", "2"]


def peak(read: Callable[[Path], Iterable[Any]], path: Path, count: int) -> int:
    """Bytes held at most while the rows of a file go by, each of which must be one."""
    tracemalloc.start()
    assert sum(1 for _ in read(path)) == count
    held = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return held


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "parquet", "txt"])
@pytest.mark.parametrize(
    "read",
    [
        strings,
        lambda path: listed([path]),
        lambda path: table_cells([path], "image"),
        lambda path: table_cells([path], "text"),
    ],
    ids=["texts", "images", "cells of images", "cells of texts"],
)
def test_rows_to_predict_are_read_as_they_are_asked_for(kind: str, read: Any, tmp_path: Path) -> None:
    if kind == "txt" and read is not strings:
        pytest.skip("a file of lines is of texts")
    held = []
    for count in (500, 500, 20_000):  # whatever is loaded once is before the second
        rows = [{"text": f"{i:0100}.png", "image": f"{i}.png", "label": "1"} for i in range(count)]
        if kind == "txt":
            path = tmp_path / "texts.txt"
            path.write_text("".join(f"{row['text']}\n" for row in rows), encoding="utf-8")
        else:
            path = write(tmp_path, rows, kind)
        del rows
        held.append(min(peak(read, path, count) for _ in range(2)))  # other threads may allocate meanwhile
    assert held[2] < held[1] + 300_000  # 20,000 rows alone are 4,000,000


def test_a_row_that_cannot_be_read_leaves_those_before_it(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("image,label\n1.png,a\n2.png\n", encoding="utf-8")
    (_, name, image), (_, other, error) = listed([path])
    assert (name, image, other) == (str(tmp_path / "1.png"), tmp_path / "1.png", str(path))
    assert "line 3 has 1 cells and the header 2" in str(error)


def test_a_url_is_refused_as_such(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("image\nhttps://x.org/1.png\n2.png\n", encoding="utf-8")
    (_, name, error), (_, _, image) = listed([path])
    assert (name, image) == (f"{path}, line 2", tmp_path / "2.png")
    assert "names the URL 'https://x.org/1.png', which is not downloaded" in str(error)
    for url in ("https://x.org/1.png", Path("s3://x/1.png")):
        with pytest.raises(UserError, match=r"1.png is a URL, which is not downloaded: download it, and give"):
            read_image(url)


def test_tables_of_one_name_are_two_places(pictures: Path, tmp_path: Path) -> None:
    rows = [{**row, "file": str(pictures / row["file"])} for row in ROWS]
    places = [write(tmp_path / folder, rows) for folder in "ab"]
    places += [write(pictures, ROWS), write(pictures, ROWS, name="others")]
    found = [load_dataset(f"{path}#label=species").place for path in places]
    assert found == [str(path.resolve()) for path in places]


@pytest.mark.parametrize("whole", [True, False])
def test_a_parquet_file_may_hold_the_images(whole: bool, pictures: Path) -> None:
    def held(row: dict[str, Any]) -> Any:
        content = (pictures / row["file"]).read_bytes()
        return {"bytes": content, "path": Path(row["file"]).name} if whole else content

    rows = [{"image": held(row), "label": row["species"], "group": row["patient"]} for row in ROWS]
    path = write(pictures, rows, "parquet")
    found, named = (
        load_table(path),
        load_table(write(pictures, ROWS), Columns(label_column="species", group_column="patient")),
    )
    assert found.class_names == named.class_names
    assert (found.train.known_labels == named.train.known_labels).all()
    assert found.root is None
    rows[0]["image"], rows[3]["image"] = rows[3]["image"], rows[0]["image"]  # of one class
    assert load_table(write(pictures, rows, "parquet")).fingerprint() != found.fingerprint()
    for own, file in zip(found.train.images, named.train.images, strict=True):
        assert np.array_equal(read_image(own), read_image(file))
    splits = with_splits(found, Protocol(image_size=32, val_fraction=0.2, test_fraction=0.2), 0)
    assert "test_files" not in splits.record
    rows = [*listed(str(path))]
    assert [name for _, name, _ in rows][:2] == ["labels.parquet, row 1", "labels.parquet, row 2"]
    tested = dict(zip(image_names(splits, "test"), splits.test.images, strict=True))
    asked = {name: image for _, name, image in rows}
    assert tested == {name: asked[name] for name in tested}
    assert len(tested) == len(splits.test) > 1
    assert np.array_equal(read_image(rows[5][2]), read_image(pictures / ROWS[5]["file"]))


def test_an_image_within_a_table_that_cannot_be_read_is_named_by_its_row(pictures: Path) -> None:
    rows = [{"image": b"nothing", "label": row["species"]} for row in ROWS]
    path = write(pictures, rows, "parquet")
    with pytest.raises(UserError, match=r"labels.parquet, row 3 is no image"):
        read_image(load_table(path).train.images[2])


def test_cells_without_an_image_beside_ones_with(pictures: Path) -> None:
    content = (pictures / "pictures/0.png").read_bytes()
    rows = [{"image": content, "label": "a"}, {"image": None, "label": "b"}]
    with pytest.raises(UserError, match="row 2 holds no image in image, as others do"):
        load_table(write(pictures, rows, "parquet"))


def test_labels_in_lists_are_read_as_others(pictures: Path) -> None:
    given = [["a", None], [1, float("nan")], [2.0], [1.0, "a"]] * 9
    rows = [{"image": row["file"], "label": own} for row, own in zip(ROWS, given, strict=True)]
    found = load_table(write(pictures, rows, "jsonl"))
    assert found.class_names == ("1", "2", "a")
    assert found.train.known_labels[:4].tolist() == [
        [False, False, True],
        [True, False, False],
        [False, True, False],
        [True, False, True],
    ]
    with pytest.raises(UserError, match="--label-separator is empty"):
        with_columns("labels.csv", {"label_separator": ""})


def test_names_of_columns_are_there_once(pictures: Path) -> None:
    path = write(pictures, ROWS)
    lines = [f"{i},{line},," for i, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines())]
    lines[0] = lines[0].removeprefix("0")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")  # an index of pandas, and cells that nobody filled
    assert load_table(path, Columns(label_column="species")).class_names == ("10", "ant", "bee")
    twice = pictures / "twice.jsonl"
    twice.write_text('{"file": "pictures/0.png", "species": "a", "species": "b"}\n', encoding="utf-8")
    with pytest.raises(UserError, match=r"line 1 has two columns named 'species'"):
        load_table(twice)
    parquet, pyarrow = pytest.importorskip("pyarrow.parquet"), pytest.importorskip("pyarrow")
    columns = [[row["file"] for row in ROWS], ["a"] * 36, ["b"] * 36]
    parquet.write_table(pyarrow.Table.from_arrays(columns, ["file", "label", "label"]), pictures / "twice.parquet")
    with pytest.raises(UserError, match=r"two columns named 'label'"):
        load_table(pictures / "twice.parquet")


def test_doctor_takes_the_columns_of_a_table(pictures: Path, works) -> None:
    path = write(pictures, ROWS)
    found = json.loads(works("doctor", path, "--label-column", "species", "--group-column", "patient", "--json"))
    assert found["data"].endswith("#label=species&group=patient")


def test_columns_that_are_not_there_are_told_with_what_is_meant(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("image;label\na.png;x\n", encoding="utf-8")
    with pytest.raises(UserError, match="parts its columns by ';', not by ',': save it with commas"):
        load_table(table)
    table.write_text("image,label\na.png,x\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"no column 'Label' \(--label-column\) \(did you mean label\?\), but image"):
        load_table(table, Columns(label_column="Label"))
