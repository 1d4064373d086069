"""Tables from the file to report, adapter and predictions, with the numbers that scikit-learn finds in these."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn import metrics

import selfprompt as sp
from selfprompt.runs.columns import as_read

pytestmark = pytest.mark.slow

NAMES = ["blue", "green", "red"]
HAS = np.random.default_rng(0).random((88, 3)) < [0.3, 0.4, 0.6]
UNEVEN = np.array([2] * 6 + [1] * 2 + [0]).repeat(8)[:72]  # 48 red, 16 green and 8 blue ones
PART = ("train", "train", "val", "test")


def draw(path: Path, own: np.ndarray, seed: int) -> str:
    """A picture with a bar for each of three classes that it has, which any backbone tells."""
    pixels = np.random.default_rng(seed).integers(0, 90, (32, 32, 3), dtype=np.uint8)
    for c in np.flatnonzero(own):
        pixels[10 * c : 10 * c + 10, :, c] += 160
    Image.fromarray(pixels).save(path)
    return path.name


def uneven(folder: Path) -> list[dict[str, Any]]:
    """72 images of one class each, in groups of four that are in one split."""
    return [
        {"file": draw(folder / f"{i}.png", np.arange(3) == c, i), "colour": NAMES[c], "split": PART[i // 4 % 4]}
        | {"group": f"G{i // 4}"}
        for i, c in enumerate(UNEVEN)
    ]


def several(folder: Path) -> list[dict[str, Any]]:
    """88 images with any number of three labels."""
    return [
        {
            "file": draw(folder / f"{i}.png", own, i),
            "colour": "|".join(NAMES[c] for c in np.flatnonzero(own)),
            "split": PART[i % 4],
        }
        for i, own in enumerate(HAS)
    ]


def written(path: Path, rows: list[dict[str, Any]]) -> Path:
    if path.suffix == ".parquet":
        parquet = pytest.importorskip("pyarrow.parquet")
        import pyarrow

        parquet.write_table(pyarrow.Table.from_pylist(rows), path)
        return path
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    return path


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_an_unbalanced_table_with_groups(kind: str, tmp_path: Path, weights: Path, works) -> None:
    table, out = written(tmp_path / f"table.{kind}", uneven(tmp_path)), tmp_path / "run"
    flags = ("--label-column", "colour", "--backbone", weights, "--method", "linear", "--epochs", 40, "--lr", 0.05)
    flags += ("--balance", "auto", "--metric", "balanced_accuracy", "--batch-size", 8, "--out", out, "--json")
    found = json.loads(works("tune", table, *flags))
    rows = read(out / "predictions.csv")
    true, said = ([row[column] for row in rows] for column in ("label", "predicted"))
    assert len(rows) == found["test_images"] == 16
    assert found["metric"] == "balanced_accuracy"
    assert found["val_score"] > 90
    assert found["test_accuracy"] == pytest.approx(100 * metrics.accuracy_score(true, said))
    for name, known in (
        ("balanced_accuracy", metrics.balanced_accuracy_score(true, said)),
        ("macro_f1", metrics.f1_score(true, said, average="macro")),
    ):
        assert found["scores"][name] == pytest.approx(100 * known)
        assert known > 0.9
    groups = json.loads((out / "split.json").read_text(encoding="utf-8"))
    places = [{int(Path(file).stem) // 4 for file in groups[f"{part}_files"]} for part in ("train", "val", "test")]
    assert sum(map(len, places)) == len(set.union(*places))
    works("predict", out, *(tmp_path / row["image"] for row in rows), "--csv", tmp_path / "said.csv")
    assert [row["label"] for row in read(tmp_path / "said.csv")] == said
    again = sp.evaluate(out, str(table))  # by the run's columns
    assert again["test_accuracy"] == pytest.approx(found["test_accuracy"])
    assert sp.verify(out, str(table))["holds"]
    less = [{"file": row["file"], "colour": row["colour"], "label": row["group"]} for row in uneven(tmp_path)]
    other = written(tmp_path / f"other.{kind}", less)
    assert as_read(str(other), out) == f"{other}#label=colour"
    assert as_read(f"{other}#label=label", out) == f"{other}#label=label"
    works("report", out)
    assert "test balanced accuracy" in (out / "report.html").read_text(encoding="utf-8")


def test_a_table_with_several_labels(tmp_path: Path, weights: Path, works, fails) -> None:
    table, out = written(tmp_path / "table.csv", several(tmp_path)), tmp_path / "run"
    columns = ("--label-column", "colour", "--label-separator", "|")
    flags = ("--backbone", weights, "--method", "vpt", "--num-prompts", 2, "--epochs", 4, "--batch-size", 8)
    found = json.loads(works("tune", table, *columns, *flags, "--balance", "loss", "--out", out, "--json"))
    rows, config = (
        read(out / "predictions.csv"),
        json.loads((out / "adapter_config.json").read_text(encoding="utf-8")),
    )
    true, said = (
        np.array([[c in row[k].split("|") for c in NAMES] for row in rows]) for k in ("labels", "predicted")
    )
    assert (true == HAS[3::4]).all()
    probabilities = np.array([[float(row[f"probability_{name}"]) for name in NAMES] for row in rows])
    assert (said == (probabilities >= config["thresholds"])).all()
    known = {
        "map": metrics.average_precision_score(true, probabilities),
        "macro_f1": metrics.f1_score(true, said, average="macro"),
        "micro_f1": metrics.f1_score(true, said, average="micro"),
    }
    for name, value in known.items():
        assert found["scores"][name] == pytest.approx(100 * value)
        assert value > 0.8
    assert found["test_accuracy"] == pytest.approx(100 * metrics.accuracy_score(true, said))
    assert {row["rival"] for row in found["worth"]} >= {"linear probe"}
    assert all(row["rival_test_map"] > 80 for row in found["worth"])

    again = json.loads(works("evaluate", out, table, *columns, "--json"))
    assert again["test_accuracy"] == found["test_accuracy"]
    assert again["scores"] == found["scores"]
    validated = json.loads(works("evaluate", out, table, "--split", "val", "--json"))
    assert validated["val_accuracy"] == pytest.approx(found["val_accuracy"])
    assert config["metrics"]["val_accuracy"] == found["val_accuracy"]
    works("predict", out, *(tmp_path / row["image"] for row in rows), "--csv", tmp_path / "said.csv")
    answered = read(tmp_path / "said.csv")
    assert [row["labels"] for row in answered] == [row["predicted"] for row in rows]
    assert np.allclose([[float(r[f"probability_{c}"]) for c in NAMES] for r in answered], probabilities, atol=1e-5)
    first = sp.predict(out, [tmp_path / rows[0]["image"]], threshold=0.0)[0]
    assert first.get("labels") == NAMES
    works("report", out)
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "test mean average precision" in page
    assert "Mistakes" not in page
    card = (out / "README.md").read_text(encoding="utf-8")
    assert "mean average precision" in card
    assert "any number an example" in card
    for flag in (("--top-k", 2), ("--threshold", "auto")):
        assert "Several labels have a threshold each" in fails("predict", out, tmp_path / "0.png", *flag)
    assert "leave --adapt out" in fails("predict", out, tmp_path / "0.png", "--adapt", "averaging")
    single = [{**row, "colour": row["colour"].split("|")[0] or "red"} for row in several(tmp_path)]
    said_why = fails("evaluate", out, written(tmp_path / "one.csv", single), *columns[:2])
    assert "gives several label(s) an example, and" in said_why
    left_open = json.loads(
        works("tune", "--config", out / "run.json", "--epochs", 1, "--out", tmp_path / "b", "--json")
    )
    assert left_open["metric"] == "map"
    chosen = ("--metric", "top1", "--out", tmp_path / "c")
    assert "--metric top1 is not for data with several labels" in fails("tune", table, *columns, *flags, *chosen)


def test_methods_are_ranked_by_the_metric(tmp_path: Path, weights: Path, works) -> None:
    table, out = written(tmp_path / "table.csv", several(tmp_path)), tmp_path / "compared"
    columns = ("--label-column", "colour", "--label-separator", "|")
    flags = ("--backbone", weights, "--epochs", 3, "--batch-size", 8, "--seeds", 1, "--trials", 1, "--out", out)
    found = json.loads(works("compare", table, *columns, "--methods", "linear,linear:lr=1e-9", *flags, "--json"))
    for row in found["results"]:
        assert row["metric"] == "map"
        assert row["test_score_mean"] == row["test_scores"][0]
    best = max(found["results"], key=lambda row: row["test_score_mean"])
    assert {row["best"] for row in found["results"]} == {best["method"]}
    assert [row["method"] for row in found["results"] if "p_value" not in row] == [best["method"]]
    assert "test mean average precision, %" in (out / "table.md").read_text(encoding="utf-8")
