"""Files are whole or as they were; a folder belongs to one process at a time."""

from __future__ import annotations

import csv
import errno
import io
import json
import os
import struct
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save

from conftest import held
from selfprompt.errors import UserError
from selfprompt.files import (
    claimed,
    comma_separated,
    in_order,
    must_be_utf8,
    read_json,
    read_text,
    replace_file,
    unused,
)


def test_a_full_disk_leaves_the_file_before_and_nothing_else(tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "file"
    replace_file(path, "before")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match=r"file cannot be written \(No space left on device\): free space"):
        replace_file(path, "after")
    assert path.read_text(encoding="utf-8") == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "folder").mkdir()
    for path, why in (("file/under", "file stands"), ("folder", "folder stands"), ("x" * 300, "a shorter name")):
        with pytest.raises(UserError, match=f"{path} cannot be written .*{why}"):
            replace_file(tmp_path / path, "text")
    for path in ("file", "file/run"):
        with pytest.raises(UserError, match="a file stands where a folder is needed"), claimed(tmp_path / path):
            pass
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder"]


def test_half_a_surrogate_pair_is_written_as_an_escape(tmp_path: Path) -> None:
    replace_file(tmp_path / "file", "stra\udcdfe 猫")
    assert (tmp_path / "file").read_bytes() == "stra\\udcdfe 猫".encode()


def test_names_that_are_not_utf8_are_refused_by_their_bytes() -> None:
    must_be_utf8("The class", "猫")
    with pytest.raises(UserError, match=r"The class 'caf\\xe9' is not UTF-8: rename it"):
        must_be_utf8("The class", "caf\udce9")


DAMAGED = [b"", b"{", b"\xff\xfe{}", b"[]", b"null", bytes(range(256)), b"[" * 100_000]
DAMAGED += [b'{"x": NaN}', b'{"x": [-Infinity]}', b'{"x": 1e999}']


@pytest.mark.parametrize("contents", DAMAGED, ids=range(len(DAMAGED)))
def test_damaged_json_is_named_with_the_fix(contents: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_bytes(contents)
    with pytest.raises(UserError, match=r"x\.json is damaged \(.+\): fix it"):
        read_json(tmp_path / "x.json", "fix it")
    with pytest.raises(UserError, match=r"y\.json cannot be read \(.+\): fix it"):
        read_json(tmp_path / "y.json", "fix it")


def test_a_folder_is_held_by_one_process_until_it_ends_or_is_killed(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with held(folder):
        with pytest.raises(UserError, match=r"Another selfprompt is at work in .*run"), claimed(folder):
            pass
        (folder / ".checkpoint.pt.123.tmp").write_bytes(b"half")
    with claimed(folder), claimed(folder):  # once more within is the same process
        assert not list(folder.glob(".*.tmp"))
        replace_file(folder / "kept", "")
    assert [path.name for path in folder.iterdir()] == ["kept"]


def test_an_error_before_anything_was_written_leaves_no_folder(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no"), claimed(tmp_path / "run"):
        raise ValueError("no")
    assert not (tmp_path / "run").exists()


def test_two_folders_of_one_name(tmp_path: Path) -> None:
    assert [unused(tmp_path / "a").name for _ in range(3)] == ["a", "a-2", "a-3"]


def test_csv_gives_every_cell_back(tmp_path: Path) -> None:
    rows = [["", "a\rb", "c\nd", "\r\n"], ["e,f", 'g"h', "i;j", " k "], ["\u2028", "'", "\t", "\ufeff"]]
    replace_file(tmp_path / "x.csv", comma_separated(rows))
    assert list(csv.reader(io.StringIO(read_text(tmp_path / "x.csv", "fix it"), newline=""))) == rows


def test_a_weights_file_has_its_metadata_in_order(tmp_path: Path) -> None:
    names = {name: json.dumps([f"{name}\u00e9\n"], ensure_ascii=False) for name in "hgfedcba"}
    made = {
        in_order(save({"x": np.arange(3)}, metadata=dict(each))) for each in (names.items(), sorted(names.items()))
    }
    (contents,) = made
    replace_file(tmp_path / "x.safetensors", contents)
    with safe_open(tmp_path / "x.safetensors", framework="numpy") as file:
        assert file.metadata() == names
        assert list(file.get_tensor("x")) == [0, 1, 2]
    (size,) = struct.unpack("<Q", contents[:8])
    assert list(json.loads(contents[8 : 8 + size])["__metadata__"]) == sorted(names)
