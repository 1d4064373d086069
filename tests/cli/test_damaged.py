"""Whatever is wrong with a file that a command reads again, one sentence names the file and says what to do."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
import torch

from selfprompt.assembly import load
from selfprompt.errors import UserError
from selfprompt.tuning.records import COLUMNS, read_predictions, write_predictions

IMAGE = "towers.image.insertion."
SHOWN = ("run.json", "metrics.json", "log.jsonl", "analysis.json", "thumbnails.png")
FILES = (*SHOWN, "predictions.csv", "adapter_config.json", "adapter_model.safetensors")


def not_analysed(run: Path) -> None:
    """As a run of an older version is, whose page needs the adapter."""
    (run / "analysis.json").unlink()


@pytest.mark.parametrize("damage", ["cut", "empty", "binary", "type"])
@pytest.mark.parametrize("name", FILES)
def test_damaged_files_of_a_run(name: str, damage: str, run: Path, fails) -> None:
    whole = (run / name).read_bytes()
    broken = {"cut": whole[: len(whole) // 2], "empty": b"", "binary": b"\xff\xfe" + whole, "type": b"[1]\n"}
    (run / name).write_bytes(broken[damage])
    if name not in SHOWN:
        not_analysed(run)
    said = fails("report", run)
    assert name in said
    assert "damaged" in said
    if name in ("run.json", "metrics.json", "log.jsonl"):
        assert f"{name} is damaged" in fails("tune", "--resume", run)


VALUES = [
    ("run.json", {"recipe": {"epochs": "many"}}),
    ("run.json", {"method": {}}),
    ("run.json", {"method": {"name": "stp"}}),
    ("run.json", {"seed": -1}),
    ("metrics.json", {"test_accuracy": "high"}),
    ("metrics.json", {"test_accuracy": 101.0}),
    ("metrics.json", {"val_accuracy": math.nan}),
    ("metrics.json", {"seconds": math.inf}),
    ("metrics.json", {"something": math.inf}),
    ("metrics.json", {"best_epoch": None}),
    ("metrics.json", {"total_parameters": 0}),
    ("metrics.json", {"total_parameters": 1}),
    ("metrics.json", {"peak_memory_bytes": -1}),
    ("metrics.json", {"recipe": {"epochs": 1}}),
    ("analysis.json", {"classes": ["ant"]}),
    ("analysis.json", {"confusion": [[0, 2, 1]]}),
    ("analysis.json", {"grid": 3}),
    ("analysis.json", {"prompts": {"layers": []}}),
    ("adapter_config.json", {"format": "one"}),
    ("adapter_config.json", {"format": -1}),
    ("adapter_config.json", {"method": {"name": ["spt"]}}),
    ("adapter_config.json", {"method": {"name": "stp"}}),
    ("adapter_config.json", {"method": {"name": "spt", "prompts": 3}}),
    ("adapter_config.json", {"method": {"name": "spt", "num_prompts": -1}}),
    ("adapter_config.json", {"class_names": ["ant"]}),
    ("adapter_config.json", {"sources": [[[0, 0]], []]}),
    ("adapter_config.json", {"sources": [[[0, 0], [0, 0]]]}),
    ("adapter_config.json", {"sources": [[[0, 0], [0, 99]]] * 3}),
    ("adapter_config.json", {"sources": [[[0, 0], [-1, 0]]] * 3}),
    ("adapter_config.json", {"sources": [[[0, 0], [10**30, 0]]] * 3}),
    ("adapter_config.json", {"num_classes": -2}),
    ("adapter_config.json", {"protocol": {"image_size": 32}}),
]


@pytest.mark.parametrize(("name", "changes"), VALUES, ids=[f"{name} {next(iter(c))}" for name, c in VALUES])
def test_wrong_values_in_files_of_a_run(name: str, changes: dict, run: Path, fails) -> None:
    found = json.loads((run / name).read_text(encoding="utf-8"))
    (run / name).write_text(json.dumps(found | changes), encoding="utf-8")
    if name not in SHOWN:
        not_analysed(run)
    assert f"{name} is damaged" in fails("report", run)


def test_a_deviation_of_zero_in_the_protocol(run: Path, fails) -> None:
    config = json.loads((run / "adapter_config.json").read_text(encoding="utf-8"))
    config["protocol"]["std"] = [0.2, 0.0, 0.2]
    (run / "adapter_config.json").write_text(json.dumps(config), encoding="utf-8")
    assert "adapter_config.json is damaged (protocol.std.1" in fails("predict", run, run)


def edited(edit: Callable[[list[list[str]]], object]) -> Callable[[str], str]:
    """A change of the rows of a table."""

    def change(text: str) -> str:
        rows = list(csv.reader(io.StringIO(text)))
        edit(rows)
        return "".join(",".join(row) + "\n" for row in rows)

    return change


def without(column: int) -> Callable[[str], str]:
    return edited(lambda rows: [row.pop(column) for row in rows])


def with_cell(column: int, cell: str) -> Callable[[str], str]:
    return edited(lambda rows: rows[2].__setitem__(column, cell))


PREDICTIONS = {
    "head alone": edited(lambda rows: rows.__delitem__(slice(1, None))),
    "no head": edited(lambda rows: rows.pop(0)),
    **{f"no {name}": without(column) for column, name in enumerate(COLUMNS)},
    "a row less": edited(lambda rows: rows.pop()),
    "a row more": edited(lambda rows: rows.append(rows[-1])),
    "a short row": edited(lambda rows: rows[1].pop()),
    "a long row": edited(lambda rows: rows[1].append("1")),
    "label of no class": with_cell(1, "cow"),
    "another's label": edited(lambda rows: rows[1].__setitem__(1, rows[-1][1])),
    "predicted of no class": with_cell(2, "-1"),
    **{f"probability {cell}": with_cell(3, cell) for cell in ("high", "", "nan", "inf", "-0.5", "1.5")},
    "quote": lambda text: text.replace("ant", '"ant'),
}


@pytest.mark.parametrize("damage", PREDICTIONS)
def test_damaged_predictions(damage: str, finished: Path, tmp_path: Path) -> None:
    text = (finished / "predictions.csv").read_text(encoding="utf-8")
    names, labels = ["ant", "bee"], [int(row.split(",")[1] == "bee") for row in text.splitlines()[1:]]
    assert 0 < sum(labels) < len(labels)
    (tmp_path / "predictions.csv").write_text(text, encoding="utf-8")
    assert len(read_predictions(tmp_path, names, labels)) == len(labels)
    (tmp_path / "predictions.csv").write_text(with_cell(0, "x" * 200_000)(text), encoding="utf-8")
    assert len(read_predictions(tmp_path, names, labels)) == len(labels)  # a text may be long
    (tmp_path / "predictions.csv").write_text(PREDICTIONS[damage](text), encoding="utf-8")
    with pytest.raises(UserError, match=r"predictions\.csv is damaged \(.+\): remove it"):
        read_predictions(tmp_path, names, labels)


def test_predictions_give_names_back(tmp_path: Path) -> None:
    names = ["a\rb", "c\nd", "\r\n", 'e,"f"', "g;h", " ", "'"]
    labels, sure = torch.arange(len(names)), torch.ones(len(names))
    write_predictions(tmp_path, names, names, labels, labels.flip(0), sure)
    expected = [(name, name, other, 1.0) for name, other in zip(names, reversed(names))]
    assert read_predictions(tmp_path, names, labels.tolist()) == expected


@pytest.mark.parametrize("damage", ["missing", "shuffled", "text", "accuracy", "number"])
def test_damaged_logs(damage: str, run: Path, fails) -> None:
    row = json.loads((run / "log.jsonl").read_text(encoding="utf-8"))
    rows = {
        "missing": [{key: value for key, value in row.items() if key != "val_loss"}],
        "shuffled": [row | {"epoch": 2}, row],
        "text": [row | {"lr": "fast"}],
        "accuracy": [row | {"val_accuracy": -1.0}],
        "number": [row | {"train_loss": math.nan}],
    }[damage]
    (run / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    assert "log.jsonl is damaged" in fails("tune", "--resume", run)


def test_a_log_that_lacks_the_best_epoch(run: Path, fails) -> None:
    metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    (run / "metrics.json").write_text(json.dumps(metrics | {"best_epoch": 2}), encoding="utf-8")
    assert "log.jsonl is damaged (it lacks epochs)" in fails("report", run)


WEIGHTS: dict[str, Callable[[dict[str, torch.Tensor]], object]] = {
    "missing": lambda state: state.pop(IMAGE + "prompts"),
    "additional": lambda state: state.update(more=torch.zeros(1)),
    "another shape": lambda state: state.update({"head.linear.bias": torch.zeros(3)}),
    "whole numbers": lambda state: state.update({"head.linear.bias": torch.zeros(2, dtype=torch.int64)}),
    "condensed": lambda state: state.update({IMAGE + "counts": torch.tensor([1, 1, 1])}),
    "negative counts": lambda state: state.update(
        {
            IMAGE + "counts": torch.tensor([-1, 3, 0]),
            IMAGE + "prompts": torch.zeros(2, 64),
        }
    ),
}


@pytest.mark.parametrize("damage", WEIGHTS)
def test_damaged_weights(damage: str, run: Path) -> None:
    state = safetensors.torch.load_file(run / "adapter_model.safetensors")
    WEIGHTS[damage](state)
    safetensors.torch.save_file(state, run / "adapter_model.safetensors")
    with pytest.raises(UserError, match=r"adapter_model\.safetensors is damaged \(.+\): restore it"):
        load(run)


@pytest.mark.parametrize("number", [math.nan, math.inf, 1e300])
def test_weights_that_are_not_finite(number: float, run: Path) -> None:
    state = safetensors.torch.load_file(run / "adapter_model.safetensors")
    state["head.linear.bias"] = torch.full((2,), number, dtype=torch.float64)
    safetensors.torch.save_file(state, run / "adapter_model.safetensors")
    with pytest.raises(UserError, match="NaN or infinite: train it again"):
        load(run)


@pytest.mark.parametrize("damage", ["cut", "other", "nan", "folder"])
def test_a_damaged_snapshot(damage: str, run: Path, finished: Path, fails) -> None:
    path = run / "prompts" / "epoch-0000.safetensors"
    whole, state = path.read_bytes(), safetensors.torch.load_file(path)
    path.unlink()
    if damage == "cut":
        path.write_bytes(whole[:-9])
    elif damage == "folder":
        path.mkdir()
    else:
        odd = {"other": torch.zeros(1)} if damage == "other" else {"prompts": state["prompts"] * math.nan}
        safetensors.torch.save_file(odd, path)
    assert "epoch-0000.safetensors is damaged" in fails("analyse", run, finished.parent / "data", "--images", 2)


def test_damaged_files_of_a_comparison(folder: Path, weights: Path, tmp_path: Path, fails) -> None:
    compare = ("compare", folder, "--backbone", weights, "--methods", "linear", "--out", tmp_path, "--epochs", 1)
    for contents in (b"", b"{", b"[]", b"\xff"):
        (tmp_path / "comparison.json").write_bytes(contents)
        assert "comparison.json is damaged" in fails(*compare)
        (tmp_path / "table.json").write_bytes(contents)
        assert "table.json is damaged" in fails("report", tmp_path)
    row = {
        "method": "spt",
        "test_accuracy_mean": 90.0,
        "test_accuracy_std": 0.0,
        "trainable_parameters": 9,
        "seeds": 1,
    }
    odd = [{}, row | {"test_accuracy_mean": 101.0}, row | {"test_accuracy_std": math.nan}, row | {"seeds": 0}]
    odd += [row | {"setting": 1}, row | {"trials": [{"lr": 0.0, "val_accuracy": 1.0}]}]
    whole = {"protocol": "a", "dataset": "b", "settings": {}, "results": [row]}
    wrong = [{"results": []}, {"benchmark": "mini"}, whole | {"precision": 3}]
    for table in (*wrong, *(whole | {"results": [found]} for found in odd)):
        (tmp_path / "table.json").write_text(json.dumps(table), encoding="utf-8")
        assert "table.json is damaged" in fails("report", tmp_path)
