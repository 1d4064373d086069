"""Sources of texts, on trees made here: what they take, and the sentence where they are absent."""

from __future__ import annotations

import tarfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from selfprompt.data.sources import debian, load_dataset, wordnet, wordnet_mini
from selfprompt.errors import UserError


def test_the_embedded_definitions() -> None:
    found = load_dataset("wordnet-mini")
    assert found.inputs == "text"
    assert np.bincount(found.train.known_labels).tolist() == [500] * 10
    assert {"animal", "food", "place"} < set(found.class_names)
    assert len(set(found.train.images)) == 5000
    home = Path(str(wordnet_mini.__file__)).parent
    assert "WordNet 3.0 Copyright 2006 by Princeton University" in (home / "LICENSE.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("task", wordnet_mini.RECORD.parts[1:])
def test_tasks_of_definitions_are_tested_on_what_the_language_model_has_not_read(task: str) -> None:
    found = load_dataset(f"wordnet-mini/{task}")
    assert found.test is not None
    assert np.bincount(found.train.known_labels).tolist() == [150] * found.num_classes
    assert len(set(np.bincount(found.test.known_labels))) == 1
    train, test = ({text for (text,) in part.images} for part in (found.train, found.test))
    others = {text for (text,) in load_dataset("wordnet-mini").train.images}
    assert not (train & test) | (train & others) | (test & others)
    kept = {text: zlib.crc32(text.encode()) % 20 == 0 for text in train | test}  # as its card says
    assert {kept[text] for text in test} == {True}
    assert {kept[text] for text in train} == {False}


def test_wordnet_is_read_where_it_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wordnet, "ROOT", tmp_path)
    wordnet.load.cache_clear()
    with pytest.raises(UserError, match="apt-get install wordnet-base"):
        load_dataset("wordnet")
    lines = [
        "  1 This software and database is being provided to you",
        "00001740 03 n 01 entity 0 000 | that which is perceived",
        '00002000 05 n 01 dog 0 000 | a tame animal; "the dog barked"',
        "00003000 18 n 01 cook 0 000 | someone who cooks; food for instance",
        "00004000 18 n 01 chef 0 000 | someone who cooks; food for instance",
    ]
    (tmp_path / "data.noun").write_text("\n".join(lines) + "\n", encoding="latin-1")
    (tmp_path / "data.verb").write_text('00005000 38 v 01 go 0 000 | move; "go!"\n', encoding="latin-1")
    found = load_dataset("wordnet")
    assert [(t, found.class_names[i]) for t, i in zip(found.train.images, found.train.known_labels)] == [
        (("a tame animal",), "animal"),
        (("someone who cooks; food for instance",), "person"),
    ]
    assert load_dataset("wordnet/verbs").class_names[9] == "motion"
    assert load_dataset("wordnet/verbs").train.known_labels.tolist() == [9]
    wordnet.load.cache_clear()
    (tmp_path / "data.noun").write_text("nothing of the kind\n", encoding="latin-1")
    with pytest.raises(UserError, match=r"data.noun, line 1 is no entry of WordNet's"):
        load_dataset("wordnet")
    wordnet.load.cache_clear()


def test_debians_descriptions_come_from_apts_lists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(debian, "ROOT", tmp_path)
    monkeypatch.setattr(debian, "LEAST", 2)
    debian.load.cache_clear()
    with pytest.raises(UserError, match="has none: run apt-get update"):
        load_dataset("debian")
    packages: list[dict[str, str]] = [
        {"Package": f"p{i}", "Section": section, "Description": f"thing {i}", "Description-md5": f"m{i}"}
        for i, section in enumerate(["games", "non-free/games", "mail", "mail", "libs", "libs", "rare"])
    ]
    packages.append({**packages[0], "Package": "p0-data", "Source": "p0 (1.0)"})
    text = "\n".join("".join(f"{k}: {v}\n" for k, v in package.items()) for package in packages)
    (tmp_path / "deb_main_binary-amd64_Packages").write_text(text, encoding="utf-8")
    long = "Package: p0\nDescription-md5: m0\nDescription-en: thing 0\n It is long.\n .\n It goes on.\n"
    (tmp_path / "deb_main_i18n_Translation-en").write_text(long, encoding="utf-8")
    found = load_dataset("debian")
    assert found.class_names == ("games", "mail")
    texts = ["thing 0. It is long. It goes on.", "thing 1", "thing 2", "thing 3"]
    assert list(found.train.images) == [(text,) for text in texts]
    assert found.train.known_labels.tolist() == [0, 0, 1, 1]
    debian.load.cache_clear()
    (tmp_path / "deb_main_binary-amd64_Packages.lz4").write_bytes(b"none")
    with pytest.raises(UserError, match=r"Packages.lz4 cannot be read .*: run apt-get update"):
        load_dataset("debian")
    debian.load.cache_clear()


@pytest.mark.parametrize("packed", [False, True])
def test_snippets_are_read_unpacked_or_packed(packed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SELFPROMPT_DATA", str(tmp_path))
    with pytest.raises(UserError, match=r"vader/film was not found: .* pip download"):
        load_dataset("vader/film")
    home: Any = tmp_path / "vaderSentiment-0.5" / "additional_resources" / "hutto_ICWSM_2014"
    home.mkdir(parents=True)
    path = home / "movieReviewSnippets_GroundTruth.txt"
    path.write_text("\ufeff1\t2.5\tgreat\n2\t-0.6\tpoor\n3\t0.2\tso so\n4\t1.5\tgreat\n", encoding="utf-8")
    if packed:
        with tarfile.open(home.parent / "hutto_ICWSM_2014.tar.gz", "w:gz", encoding="utf-8") as archive:
            archive.add(path, "hutto_ICWSM_2014/movieReviewSnippets_GroundTruth.txt")
        path.unlink()
    found = load_dataset("vader/film")
    assert found.class_names == ("negative", "positive")
    assert list(zip(found.train.images, found.train.known_labels)) == [(("great",), 1), (("poor",), 0)]
    with pytest.raises(UserError, match="vader/news was not found" if not packed else "unpack it anew"):
        load_dataset("vader/news")
    if not packed:
        path.write_text("1 2.5 great\n", encoding="utf-8")
        with pytest.raises(UserError, match=r"line 1 is no number, rating and text"):
            load_dataset("vader/film")
