"""What papers report, as data: consistent with itself, and shown beside what was measured."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from selfprompt import adaptations, methods
from selfprompt.comparison import published as room
from selfprompt.comparison.bench import group_columns
from selfprompt.comparison.beyond import BY, SHIFTED
from selfprompt.comparison.published import papers, published
from selfprompt.comparison.suites import SUITES
from selfprompt.data import sources
from selfprompt.methods import make_method, read_spec
from selfprompt.papers import PAPERS

FILES = sorted(Path(room.__file__).parent.glob("*.json"))


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_every_number_has_its_source_and_a_place(path: Path) -> None:
    paper = json.loads(path.read_text(encoding="utf-8"))
    assert "arXiv" in paper["source"]
    for table in paper["tables"]:
        assert {"table", "selection", "pretraining"} <= table.keys()
        assert set(table.get("copied", {})) <= set(table["results"])
        places = of_suite(table["benchmark"])
        for method, numbers in table["results"].items():
            name, fields = read_spec(method)
            make_method(name, **fields)
            assert places is None or {place.partition(BY)[0] for place in numbers} <= places
            assert {place.partition(BY)[2] for place in numbers} <= {"", *adaptations.RECORDS}
            assert all(0 < number <= 100 for number in numbers.values())


def of_suite(benchmark: str) -> set[str] | None:
    """Where a suite has numbers; None of a benchmark that is not run here."""
    if benchmark not in SUITES:
        return None
    suite = next(iter(SUITES[benchmark].values()))
    places = {*suite.groups, *(task for tasks in suite.groups.values() for task in tasks)}
    return places | ({"new", "H"} if "base" in places else {*suite.also, SHIFTED})


def test_every_paper_has_its_numbers_or_says_that_there_are_none() -> None:
    for record in (*methods.RECORDS.values(), *adaptations.RECORDS.values()):
        if record.paper:
            paper = papers()[record.paper]
            assert bool(paper["tables"]) != bool(paper.get("none")), record.paper
    assert papers().keys() <= PAPERS.keys()


def test_what_is_done_at_test_time_stands_beside_what_was_done_without() -> None:
    rows = published("imagenet-shift", "clip", "RN50")
    assert published("imagenet-shift", "clip", "RN50x4") == {}
    for (row,) in rows.values():
        for how in ("", f"{BY}tpt"):
            shifted = [row.numbers[f"imagenet-shift/{part}{how}"] for part in ("a", "v2", "r", "sketch")]
            assert row.numbers[SHIFTED + how] == pytest.approx(sum(shifted) / 4, abs=0.01)
    columns = group_columns({"imagenet": []}, False, 1, rows, ("shifted, tpt",))
    measured = {
        "method": "zeroshot",
        "groups": {"imagenet": {"mean": 60.0, "std": 0.0}},
        "seeds": 3,
        "also": {"shifted, tpt": [44.0]},
    }
    assert columns[4].text(measured) == "43.9 (+0.1; tpt2022, unverified)"


def test_rows_that_a_paper_copied_are_their_own_papers() -> None:
    for benchmark in ("vtab1k", "fgvc"):
        for pretraining in ("mae", "mocov3"):
            rows = [(m, row) for m, found in published(benchmark, pretraining).items() for row in found]
            for method, row in rows:
                chosen_on_test = "test" in row.selection
                assert chosen_on_test == (row.paper == "spt2024" and method.startswith("spt"))
                assert ("Wang" in row.source) == method.startswith("spt")
    (vpt,) = published("vtab1k", "mae")["vpt"]
    assert vpt.label == "vpt2022 in spt2024"
    assert "2203.12119" in vpt.source
    (vpt,) = published("fgvc", "mae")["vpt"]
    assert "2306.05067" in vpt.source  # VPT's own paper has no FGVC under MAE
    assert {r.label for r in published("vtab1k", "supervised")["e2vpt"]} == {"e2vpt2023 in vfpt2024"}


def test_tables_of_different_papers_agree() -> None:
    suite = SUITES["vtab1k"]["spt2024"]
    for pretraining in ("mae", "mocov3"):
        spt, vfpt = published("vtab1k", pretraining)["full"]
        for group, tasks in suite.groups.items():
            printed, averaged = spt.group(group, list(tasks)), vfpt.group(group, list(tasks))
            assert printed == pytest.approx(averaged, abs=0.03)


def test_groups_are_vtabs() -> None:
    sizes = {name: len(tasks) for name, tasks in SUITES["vtab1k"]["spt2024"].groups.items()}
    assert sizes == {"natural": 7, "specialized": 4, "structured": 8}
    suites = {suite.protocol["name"]: suite for presets in SUITES.values() for suite in presets.values()}
    assert len(suites) == 15
    tasks = {task for suite in suites.values() for group in suite.groups.values() for task in (*group, *suite.also)}
    assert tasks <= set(sources.names())


def test_a_table_shows_measured_published_and_their_difference() -> None:
    groups = {"natural": ["vtab/dtd"], "structured": ["vtab/kitti"]}
    columns = group_columns(groups, False, 2, published("vtab1k", "mae"))
    row = {
        "method": "spt",
        "seeds": 3,
        "groups": {"natural": {"mean": 66.0, "std": 0.5}, "structured": {"mean": 60.0, "std": 0.1}},
        "mean_of_groups": 63.0,
        "test_accuracy_mean": 63.0,
        "test_accuracy_std": 0.3,
        "trainable_parameters": 1000,
        "seconds": 1.0,
    }
    assert columns[1].text(row) == "66.0 ± 0.5"
    assert columns[2].text(row) == "67.2 (-1.2; spt2024)"
    assert columns[4].text(row) == "59.2 (+0.8; spt2024)"
    assert columns[2].text({**row, "method": "linear"}) == ""
    supervised = group_columns(groups, False, 2, published("vtab1k", "supervised"))
    assert supervised[4].text({**row, "method": "cvpt"}) == "61.7 (-1.7; cvpt2025, unverified)"


def test_new_classes_stand_beside_what_is_published() -> None:
    rows = published("coop11", "clip", "ViT-B-16-quickgelu")
    assert published("coop11", "clip", "ViT-B-32-quickgelu") == {}
    for found in (row.numbers for listed in rows.values() for row in listed):
        assert found["H"] == pytest.approx(2 / (1 / found["base"] + 1 / found["new"]), abs=0.01)
    columns = group_columns({"base": ["coop11/dtd"]}, False, 1, rows, ("new", "H"))
    row = {
        "method": "coop",
        "groups": {"base": {"mean": 80.0, "std": 0.0}},
        "seeds": 2,
        "also": {"new": [60.0, 64.0]},
    }
    texts = {column.title: column.text(row) for column in columns[1:7]}
    assert texts["new"] == "62.0 ± 2.8"
    said = "published (measured minus published; source)"
    assert texts[f"base, {said}"] == "82.7 (-2.7; cocoop2022, unverified)"
    assert texts[f"new, {said}"] == "63.2 (-1.2; cocoop2022, unverified)"
    assert texts["H"] == texts[f"H, {said}"] == ""  # it was not measured


def test_shifted_data_stand_beside_what_is_published() -> None:
    coop, _ = published("imagenet-shift", "clip", "ViT-B-16-quickgelu")["coop"]
    shifted = [number for name, number in coop.numbers.items() if name.startswith("imagenet-shift/")]
    assert coop.numbers["shifted"] == pytest.approx(sum(shifted) / 4, abs=0.01)
