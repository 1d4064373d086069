"""Texts as data: every usual layout, columns by their names, splits without labels; and what is wrong."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conftest import write_image
from selfprompt import doctor
from selfprompt.data.datasets import Dataset, with_splits
from selfprompt.data.examples import Examples
from selfprompt.data.protocol import TextProtocol
from selfprompt.data.recorded import image_names, splits_for
from selfprompt.data.rows import read_rows
from selfprompt.data.sources import load_dataset
from selfprompt.errors import UserError

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(files: dict[str, str], name: str = "data") -> Path:
        for file, contents in files.items():
            path = tmp_path / name / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(contents, encoding="utf-8")
        return tmp_path / name

    return write


def lines(*rows: Any) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


ANSWERS = [{"text": "a", "label": 1}, {"text": "b", "label": 0}]
MULTIRC = {"text": "P", "questions": [{"question": "Q?", "answers": ANSWERS}]}
WIC = {"word": "w", "sentence1": "a", "sentence2": "b"}
GOOD = {"text": "b", "label": 2}
LAYOUTS: dict[str, tuple[dict[str, str], dict[str, list[tuple[tuple[str, ...], str]]]]] = {
    "GLUE, quotes as they are": (
        {
            "train.tsv": 'sentence\tlabel\n"so" \t1\nit \'s "bad\t0\n',
            "dev.tsv": "sentence\tlabel\nfine\t1\n",
            "test.tsv": "index\tsentence\n0\tnobody knows\n",
        },
        {"train": [(('"so"',), "1"), (("it 's \"bad",), "0")], "test": [(("fine",), "1")]},
    ),
    "CoLA, no header": (
        {"train.tsv": "gj04\t1\t\tgood one\ngj04\t0\t*\tone bad\n", "dev.tsv": "gj04\t1\t\tgood\n"},
        {"train": [(("good one",), "1"), (("one bad",), "0")], "val": [(("good",), "1")]},
    ),
    "MNLI, matched": (
        {
            "train.tsv": "index\tsentence1\tsentence2\tlabel1\tgold_label\n0\ta\tb\tx\tyes\n1\tc\td\tx\tno\n",
            "dev_matched.tsv": "index\tsentence1\tsentence2\tlabel1\tgold_label\n0\te\tf\tx\tyes\n1\te\tf\tx\t-\n",
            "dev_mismatched.tsv": "nothing",
        },
        {"train": [(("a", "b"), "yes"), (("c", "d"), "no")], "val": [(("e", "f"), "yes")]},
    ),
    "MRPC": (
        {"train.tsv": "Quality\t#1 ID\t#2 ID\t#1 String\t#2 String\n1\t7\t8\ta\tb\n0\t7\t8\tc\td\n"},
        {"train": [(("a", "b"), "1"), (("c", "d"), "0")]},
    ),
    "SuperGLUE": (
        {
            "train.jsonl": lines(
                {"question": "q", "passage": "a\u2028b", "idx": 0, "label": True},
                {"question": "r", "passage": "c", "label": False},
            ),
            "val.jsonl": lines({"question": "s", "passage": "d", "label": False}),
            "test.jsonl": lines({"question": "t", "passage": "e"}),
        },
        {"train": [(("q", "a\u2028b"), "True"), (("r", "c"), "False")], "test": [(("s", "d"), "False")]},
    ),
    "MultiRC, an answer each": (
        {"train.jsonl": lines({"passage": MULTIRC})},
        {"train": [(("P", "Q? a"), "1"), (("P", "Q? b"), "0")]},
    ),
    "WiC, the word behind": (
        {"train.jsonl": lines({**WIC, "label": False}, {**WIC, "label": True})},
        {"train": [(("a", "b w"), "False"), (("a", "b w"), "True")]},
    ),
    "AG News, label first, names beside": (
        {
            "train.csv": '"3","T","D ""x"", y"\n"1","A","B"\n',
            "test.csv": '"1","U","V"\n',
            "classes.txt": "World\nSports\nBusiness\n",
        },
        {"train": [(("T", 'D "x", y'), "Business"), (("A", "B"), "World")], "test": [(("U", "V"), "World")]},
    ),
    "Yahoo, joined": ({"train.csv": "1,a,b,c\n2,d,e,f\n"}, {"train": [(("a b c",), "1"), (("d e f",), "2")]}),
    "files of classes": (
        {"pos/1.txt": "good\n", "neg/1.txt": "bad", "neg/2.txt": "worse", "readme.md": ""},
        {"train": [(("bad",), "neg"), (("worse",), "neg"), (("good",), "pos")]},
    ),
    "files below splits": (
        {f"{split}/{name}/1.txt": f"{split} {name}" for split in ("train", "test") for name in ("neg", "pos")}
        | {"train/unsup/1.txt": "who knows"},
        {split: [((f"{split} {name}",), name) for name in ("neg", "pos")] for split in ("train", "test")},
    ),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_is_read(layout: str, write: Write) -> None:
    files, expected = LAYOUTS[layout]
    found = load_dataset(write(files))
    assert found.inputs == "text"
    assert {
        split: [(texts, found.class_names[label]) for texts, label in zip(part.images, part.known_labels)]
        for split, part in found.own.items()
    } == expected


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "parquet"])
def test_every_table_is_the_same_data(kind: str, tmp_path: Path) -> None:
    rows = [
        {"review": f"text {i}", "kind": "ab"[i % 2], "split": ("train", "dev", "test")[i // 4], "group": i // 4}
        for i in range(12)
    ]
    path = tmp_path / f"t.{kind}"
    if kind == "parquet":
        parquet = pytest.importorskip("pyarrow.parquet")
        import pyarrow

        parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    elif kind == "jsonl":
        path.write_text(lines(*rows), encoding="utf-8")
    else:
        mark = "\t" if kind == "tsv" else ","
        table = [mark.join(rows[0]), *(mark.join(map(str, row.values())) for row in rows)]
        path.write_text("\n".join(table), encoding="utf-8")
    found = load_dataset(f"{path}#label=kind")
    assert [len(part) for part in found.own.values()] == [4, 4, 4]
    assert found.val is not None
    assert list(found.val.images) == [(f"text {i}",) for i in range(4, 8)]
    assert found.val.groups is not None
    assert set(found.val.groups) == {"1"}
    pair = load_dataset(f"{path}#label=kind&input=review,group")
    assert pair.train.images[0] == ("text 0", "0")


def test_shots_are_named_by_their_folder(write: Write) -> None:
    write({"train.tsv": "sentence\tlabel\na\t1\nb\t0\n"}, "k-shot/SST-2/16-42")
    assert load_dataset(write({}, "k-shot/SST-2/16-42")).name == "SST-2/16-42"


def test_what_is_left_out_is_said(write: Write, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "selfprompt"):
        load_dataset(write(LAYOUTS["MNLI, matched"][0], "MNLI"))
        load_dataset(write(LAYOUTS["GLUE, quotes as they are"][0], "SST-2"))
        load_dataset(write(LAYOUTS["files below splits"][0], "IMDB"))
        many, head = "".join(f"text {i}\t{i % 2}\n" for i in range(50)), "sentence\tlabel\n"
        load_dataset(write({"train.tsv": f"{head}{many}odd\n", "test.tsv": f"{head}text 3\t1\n"}))
    for said in (
        "dev_mismatched.tsv is left out",
        "1 of 2 val texts have no label: left out",
        "no test text has a label, so the validation split is the test split",
        "unsup has texts without labels",
        "line 52 has 1 cells and the header 2, and is left out (1 row(s) of 51 are)",
        "1 of 1 test texts are training texts, too",
    ):
        assert said in caplog.text


BAD: dict[str, tuple[dict[str, str], str]] = {
    "no text column": ({"train.csv": "a,label\nx,1\ny,2\n"}, r"no text column .* among a, label: .*--input-column"),
    "two": ({"train.csv": "text,review,label\nx,y,1\n"}, r"text columns text and review: choose one"),
    "no label column": ({"train.csv": "text,kind\nx,1\n"}, r"no label column .*--label-column"),
    "empty": (
        {"train.csv": "text,label\nx,1\n,2\n ,2\n"},
        r"line 3 \(and 1 more\) has no text: fill it in",
    ),
    "no label": ({"train.csv": "text,label\nx,1\ny,\nz,2\n"}, r"line 3 has no label: fill it in"),
    "one class": ({"train.csv": "text,label\nx,1\ny,1\n"}, r"has one class to train on"),
    "strange class": (
        {"train.csv": "text,label\nx,1\ny,2\n", "test.csv": "text,label\nz,3\n"},
        r"test.csv, line 2 has the class 3, which no training text has",
    ),
    "half a character": ({"train.jsonl": '{"text": "\\ud800", "label": 1}\n' + lines(GOOD)}, r"half a character"),
    "cells": ({"train.tsv": "text\tlabel\nx\ny\nz\t1\n"}, r"line 2 has 1 cells and the header 2"),
    "several values": ({"train.jsonl": '{"text": ["a", "b"], "label": 1}\n'}, r"several values in text"),
    "no train": ({"dev.csv": "text,label\nx,1\n", "test.csv": "text,label\nx,1\n"}, r"no train table: add one"),
    "twice": ({"train.csv": "text,label\nx,1\n", "train.tsv": "text\tlabel\n"}, r"are of one split: remove one"),
    "no texts": ({"a/readme.md": "", "b/readme.md": ""}, r"a has no .txt files"),
    "groups": (
        {f"{s}.csv": "text,label,group\nx,1,P\ny,2,P\n" for s in ("train", "test")},
        r"has the group P in train and in test",
    ),
}


@pytest.mark.parametrize("what", BAD)
def test_what_is_wrong_is_refused_by_its_place(what: str, write: Write) -> None:
    files, said = BAD[what]
    with pytest.raises(UserError, match=said) as refused:
        load_dataset(write(files), "text")
    assert "\n" not in str(refused.value)


def test_files_that_are_not_utf8_are_counted(write: Write) -> None:
    root = write({"pos/1.txt": "good", "neg/1.txt": "bad"})
    for i in (2, 3):
        (root / "pos" / f"{i}.txt").write_bytes("süß".encode("latin-1"))
    with pytest.raises(UserError, match=r"2.txt is damaged \(it is not UTF-8\): save it as UTF-8. \(1 more cannot"):
        load_dataset(root)


def test_names_tell_what_data_hold_and_a_backbone_decides(write: Write, tmp_path: Path) -> None:
    texts, pictures = write({"t.csv": "text,label\na,1\nb,2\n", "o.csv": "words,label\na,1\nb,2\n"}), tmp_path / "p"
    for i in range(2):
        write_image(pictures / f"{i}" / "0.png", i, i)
    assert load_dataset(texts / "t.csv").inputs == "text"
    assert load_dataset(pictures).inputs == "image"
    with pytest.raises(UserError, match=r"holds texts, and the backbone takes images: give --backbone text:NAME"):
        load_dataset(texts / "t.csv", "image")
    with pytest.raises(UserError, match=r"holds images, and the backbone takes texts: give a backbone of images"):
        load_dataset(pictures, "text")
    with pytest.raises(UserError, match=r"mnist5k holds images"):
        load_dataset("mnist5k", "text")
    with pytest.raises(UserError, match=r"wordnet-mini holds texts"):
        load_dataset("wordnet-mini", "image")
    odd = f"{texts / 'o.csv'}#input=words"
    assert load_dataset(odd, "text").train.images[0] == ("a",)
    with pytest.raises(UserError, match=r"names 'a', and there is no file"):
        load_dataset(odd)


def test_splits_of_texts_are_found_again_until_a_text_changes(write: Write, tmp_path: Path) -> None:
    rows = [f"text {i},{'ab'[i % 2]}\n" for i in range(40)]
    path = write({"t.csv": "text,label\n" + "".join(rows)}) / "t.csv"
    made = with_splits(load_dataset(path), TextProtocol())
    (tmp_path / "split.json").write_text(json.dumps(made.record), encoding="utf-8")
    again = splits_for(load_dataset(path), TextProtocol(split_seed=9), tmp_path)
    assert image_names(again, "test") == image_names(made, "test")
    assert image_names(made, "test")[0].startswith("text ")
    path.write_text("text,label\n" + "".join(["changed,b\n", *rows[1:]]), encoding="utf-8")
    with pytest.raises(UserError, match="has changed since the run"):
        splits_for(load_dataset(path), TextProtocol(), tmp_path)


def test_as_many_shots_for_validation_as_are_asked_for() -> None:
    texts = Examples([(f"text {i}",) for i in range(100)], np.arange(100) % 2)
    data = Dataset("d", ("a", "b"), texts, inputs="text")
    plain = with_splits(data, TextProtocol(shots=16), seed=3)
    ppt = with_splits(data, TextProtocol(shots=16, val_shots=16), seed=3)
    assert list(plain.train.images) == list(ppt.train.images)
    assert np.bincount(ppt.val.known_labels).tolist() == [16, 16]
    assert np.bincount(plain.val.known_labels).tolist() == [4, 4]
    assert TextProtocol(shots=16).hash != TextProtocol(shots=16, val_shots=16).hash
    with pytest.raises(UserError, match=r"takes 30 of each and 30 for validation"):
        with_splits(data, TextProtocol(shots=30, val_shots=30))
    with pytest.raises(UserError, match=r"give --shots, too"):
        with_splits(data, TextProtocol(val_shots=4))


def test_the_doctor_names_everything_that_is_doubtful(write: Write) -> None:
    table = "text,label\n" + "".join(f"text number {i},{i % 2}\n" for i in range(20))
    path = write({"t.csv": table + "text number 3,1\ntext number 4,1\ngroÃŸ,0\n"}) / "t.csv"
    facts, problems, _ = doctor.check_data(str(path))
    assert (facts["classes"], facts["train texts"]) == (2, 23)
    assert facts["words"] == "3 in the median, 3 at most"
    assert len(problems) == 3
    assert f"{path}, line 6 (0) and {path}, line 23 (1): remove one of them" in problems[0]
    assert "1 text(s) of train stand there more than once, such as" in problems[1]
    assert "another encoding than their own, such as" in problems[2]
    path.write_text("text,label\na,1\n,2\nb,\n", encoding="utf-8")
    problems = doctor.check_data(str(path))[1]
    assert [problem.partition(", ")[2] for problem in problems[:2]] == [
        "line 3 has no text: fill it in, or remove it.",
        "line 4 has no label: fill it in, or remove it.",
    ]
    assert doctor.check_data("wordnet-mini")[1] == []


def test_texts_of_the_hub(caplog: pytest.LogCaptureFixture) -> None:
    datasets = pytest.importorskip("datasets")
    from selfprompt.data.sources.hub import texts_from

    features = datasets.Features(
        {
            "sentence": datasets.Value("string"),
            "label": datasets.ClassLabel(names=["negative", "neutral", "positive"]),
            "idx": datasets.Value("int32"),
        }
    )

    def table(*rows: tuple[str, int]) -> Any:
        columns = {"sentence": [t for t, _ in rows], "label": [n for _, n in rows], "idx": list(range(len(rows)))}
        return datasets.Dataset.from_dict(columns, features=features)

    loaded = {"train": table(("a", 2), ("b", 0)), "validation": table(("c", 2)), "test": table(("d", -1))}
    found = texts_from("hf:toy", loaded)
    assert found.class_names == ("negative", "neutral", "positive")
    assert found.train.known_labels.tolist() == [2, 0]
    assert found.val is None
    assert found.test is not None
    assert list(found.test.images) == [("c",)]
    assert "the validation split is the test split" in caplog.text
    pairs = {"train": loaded["train"].rename_column("sentence", "one").add_column("two", ["x", "y"])}
    assert list(texts_from("hf:toy", pairs, ["one", "two"]).train.images) == [("a", "x"), ("b", "y")]
    assert texts_from("hf:toy", pairs, ["one", "label"]).train.images[0] == ("a",)
    with pytest.raises(UserError, match=r"no one text column that tells among one, two: write hf:toy#COLUMN"):
        texts_from("hf:toy", pairs)


def test_labels_may_be_signs_and_numbers_of_any_writing(write: Write) -> None:
    signs = write({"signs.csv": "text,label\n" + "".join(f"w{i},{'+-'[i % 2]}\n" for i in range(20))}) / "signs.csv"
    assert load_dataset(str(signs)).class_names == ("+", "-")
    rows = [{"text": f"w{i}", "label": [1, 1.0, 0, 0.0][i % 4]} for i in range(20)]
    assert load_dataset(str(write({"n.jsonl": lines(*rows)}) / "n.jsonl")).class_names == ("0", "1")


def test_the_hubs_parts_of_a_table_are_one(write: Write) -> None:
    part = "text,label\n" + "".join(f"w{i},{i % 2}\n" for i in range(6))
    names = ("train-00000-of-00002", "train-00001-of-00002", "validation-00000-of-00001")
    found = load_dataset(str(write({f"{name}.csv": part.replace("w", name[-14:]) for name in names})))
    assert (len(found.train), len(found.val or ())) == (12, 6)


def test_an_empty_text_of_one_column_is_a_row(write: Write) -> None:
    path = write({"p.csv": 'text\nw1 good\n""\n\nw2\n'}) / "p.csv"
    assert [row.cells["text"] for row in read_rows(path, texts=True)] == ["w1 good", "", "w2"]


def test_superglues_questions_are_asked_whole(write: Write) -> None:
    copa = {"premise": "P", "choice1": "one", "choice2": "two", "question": "cause"}
    wsc = {"text": "Mark told Pete", "target": {"span1_text": "Mark", "span2_text": "he", "span1_index": 0}}
    for name, row, texts in (("copa", copa, ("P cause?", "one two")), ("wsc", wsc, ("Mark told Pete", "Mark he"))):
        rows = [{**row, "label": i % 2, "idx": i} for i in range(8)]
        found = load_dataset(str(write({"train.jsonl": lines(*rows), "val.jsonl": lines(*rows)}, name)))
        assert found.train.images[0] == texts
        assert found.class_names == ("0", "1")
