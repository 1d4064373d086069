"""verify: whatever of backbone, protocol, data and accuracy is no longer an adapter's is named, and nothing else."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import selfprompt as sp
from conftest import make_backbone, write_image
from selfprompt.data.contents import fingerprint_of
from selfprompt.runs import verify as verification
from selfprompt.tuning.answers import Answers


def states(found: dict) -> dict[str, bool | None]:
    return {one["what"]: one["holds"] for one in found["checks"]}


ALL = dict.fromkeys(("backbone", "protocol", "data", "contents", "test accuracy"), True)


@pytest.fixture
def data(finished: Path, tmp_path: Path) -> Path:
    """A copy of the run's data."""
    return shutil.copytree(finished.parent / "data", tmp_path / "data")


def test_an_untouched_run_holds_and_so_does_its_adapter_alone(run: Path, data: Path, works, tmp_path: Path) -> None:
    assert states(json.loads(works("verify", run, "--json"))) == ALL
    assert states(sp.verify(run, str(data))) == ALL
    said = works("verify", run).splitlines()
    assert [line.split("  ")[0] for line in said] == list(ALL)
    assert all("holds" in line for line in said)
    alone = tmp_path / "alone"
    alone.mkdir()
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        shutil.copy(run / name, alone)
    assert states(sp.verify(alone, str(data))) == ALL
    assert states(sp.verify(alone)) == {**ALL, "data": None, "contents": None, "test accuracy": None}
    assert "no DATA was given" in works("verify", alone)


def test_what_changed_is_named_and_nothing_else(run: Path, data: Path, call) -> None:
    def changed(*arguments: object) -> set[str]:
        code, out, _ = call("verify", run, *arguments, "--json")
        found = states(json.loads(out))
        assert code == (0 if found == ALL else 3)
        return {what for what, holds in found.items() if not holds}

    write_image(data / "ant" / "new.png", 0, 77)
    assert changed(data) == {"data"}  # the test images are the run's own still
    (data / "ant" / "new.png").unlink()
    assert changed(data) == set()

    config = json.loads((run / "adapter_config.json").read_text(encoding="utf-8"))
    other = {**config, "protocol": {**config["protocol"], "val_fraction": 0.3}}
    (run / "adapter_config.json").write_text(json.dumps(other), encoding="utf-8")
    assert changed(data) == {"protocol"}
    (run / "adapter_config.json").write_text(json.dumps(config), encoding="utf-8")

    other = {
        **config,
        "metrics": {**config["metrics"], "test_accuracy": 12.5},
    }  # of four images
    (run / "adapter_config.json").write_text(json.dumps(other), encoding="utf-8")
    assert changed(data) == {"test accuracy"}
    (run / "adapter_config.json").write_text(json.dumps(config), encoding="utf-8")

    split = json.loads((run / "split.json").read_text(encoding="utf-8"))
    (run / "split.json").write_text(json.dumps({**split, "data": str(data.resolve())}), encoding="utf-8")
    for picture in [*data.glob("*/*.png")]:
        picture.rename(picture.with_name(f"new{picture.name}"))
    assert changed(data) == {"data", "contents", "test accuracy"}
    assert "has none of the images of the run" in sp.verify(run, str(data))["checks"][-1]["why"]


def test_another_backbone_is_a_change_and_no_error(run: Path, data: Path) -> None:
    found = sp.verify(run, str(data), backbone=make_backbone())
    assert states(found) == {**ALL, "backbone": False, "contents": None, "test accuracy": None}
    assert not found["holds"]
    assert found["checks"][-1]["why"] == "the backbone is another"


def test_other_pixels_under_the_same_name_are_a_change(run: Path, data: Path, works) -> None:
    name = json.loads((run / "split.json").read_text(encoding="utf-8"))["test_files"][0]
    before = (data / name).read_bytes()
    write_image(data / name, 0, 99)
    found = states(sp.verify(run, str(data)))
    assert (found["data"], found["contents"]) == (True, False)
    (data / name).write_bytes(before)
    assert states(sp.verify(run, str(data))) == ALL
    adapter = json.loads((run / "adapter_config.json").read_text(encoding="utf-8"))
    del adapter["metrics"]["contents"]  # as adapters were before it was recorded
    (run / "adapter_config.json").write_text(json.dumps(adapter), encoding="utf-8")
    assert states(sp.verify(run, str(data))) == {**ALL, "contents": None}
    assert "it was not recorded" in works("verify", run, data)


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_the_accuracy_is_measured_in_the_runs_own_precision(
    precision: str, run: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = json.loads((run / "adapter_config.json").read_text(encoding="utf-8"))
    config["metrics"]["precision"] = precision
    (run / "adapter_config.json").write_text(json.dumps(config), encoding="utf-8")
    found, measure = [], verification.evaluated
    monkeypatch.setattr(verification, "evaluated", lambda *a, **k: (found.append(measure(*a, **k)), found[-1])[1])
    assert sp.verify(run, str(data))["holds"]
    assert [one.evaluation["precision"] for one in found] == [precision]


def test_rounding_may_decide_as_many_examples_as_are_nearly_as_likely_to_be_another() -> None:
    rows = np.array([[0.5003, 0.4997], [0.9, 0.1], [0.2, 0.8], [0.49, 0.51]], np.float32)
    answers = Answers(rows, np.array([1, 0, 1, 1]), "abcd")
    assert [answers.undecided(within) for within in (1e-4, 1e-3, 0.05)] == [0, 1, 2]
    holds = {was: verification.accuracy(was, answers, "float32")["holds"] for was in (75.0, 100.0, 50.0, 25.0, 99.0)}
    assert holds == {75.0: True, 100.0: True, 50.0: True, 25.0: False, 99.0: True}
    assert verification.accuracy(100.0, answers, "float32")["why"] == "rounding may decide 1 of 4"
    assert verification.accuracy(25.0, answers, "bf16")["holds"]
    several = Answers(rows, np.array([[0, 1], [1, 0], [0, 1], [0, 1]], bool), "abcd", [0.5, 0.5])
    assert [several.undecided(within) for within in (1e-4, 1e-3, 0.05)] == [0, 1, 2]


def test_contents_are_those_of_files_whatever_they_are_called(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", 0, 1)
    write_image(tmp_path / "b.png", 0, 2)
    a, b, held = tmp_path / "a.png", str(tmp_path / "b.png"), (tmp_path / "a.png").read_bytes()
    assert fingerprint_of([a, b]) == fingerprint_of([held, {"bytes": None, "path": b}])
    found = [[a, b], [b, a], [a], [("one",)], [("one", "two")], [np.zeros((2, 2))], [np.zeros(4)]]
    assert len({fingerprint_of(one) for one in found}) == len(found)
