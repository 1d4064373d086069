"""Pages of a run, a comparison and a benchmark: whole, and loading nothing."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from conftest import write_image
from selfprompt.errors import UserError
from selfprompt.reports import report
from selfprompt.reports.table import Column, markdown, read_markdown
from selfprompt.runs.config import RunConfig
from selfprompt.runs.record import read_analysis
from selfprompt.runs.tune import tune


class Outline(HTMLParser):
    """Headings, pictures, and whatever a page would load."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.headings: list[str] = []
        self.images = self.plots = 0
        self.loads: list[str] = []
        self._in_heading = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._in_heading = tag in ("h1", "h2")
        self.images += tag == "img"
        self.plots += tag == "svg"
        for name, value in attrs:
            if name in ("src", "href", "xlink:href") and not re.match(r"data:|#", value or ""):
                self.loads.append(f"{tag} {value}")
        if tag in ("script", "iframe", "object", "embed"):
            self.loads.append(tag)

    def handle_data(self, data: str) -> None:
        if self._in_heading and data.strip():
            self.headings.append(data.strip())
            self._in_heading = False


def outline(path: Path) -> Outline:
    text = path.read_text(encoding="utf-8")
    found = Outline(text)
    assert found.loads == []
    assert not re.search(r"url\((?!#|\"#)|@import", text)
    assert "prefers-color-scheme: dark" in text
    assert "#010203" not in text
    return found


@pytest.mark.parametrize("method", ["spt", "pc", "linear"])
def test_page_of_a_run(method: str, folder: Path, weights: Path, tmp_path: Path) -> None:
    fields = {} if method == "linear" else {"num_prompts": 3}
    config = RunConfig.resolve(
        str(folder), str(weights), method, fields=fields, recipe={"epochs": 2, "batch_size": 4}, probe=False
    )
    tune(config, tmp_path / "run")
    (tmp_path / "run" / "command.txt").write_text("selfprompt tune <data>\n", encoding="utf-8")
    page = report(tmp_path / "run")
    found = outline(page)
    expected = [f"{method} on data", "Run it again", "Learning curves", "Mistakes", "Scores", "What it looks at"]
    expected += [] if method == "linear" else ["Where prompts come from", "What prompts became"]
    assert found.headings == [*expected, "Settings"]
    assert "selfprompt tune &lt;data&gt;" in page.read_text(encoding="utf-8")
    assert found.plots >= 3
    assert found.images >= 12


def rows(**more: Any) -> list[dict]:
    trials = [{"lr": lr, "decay": 1.0, "val_accuracy": 90 + lr} for lr in (0.1, 0.3)]
    return [
        {"method": m, "test_accuracy_mean": 90.0, "test_accuracy_std": 1.0, "seeds": 2, "trainable_parameters": 10**i}
        | {"trials": trials}
        | more
        for i, m in enumerate(("linear", "spt"), 2)
    ]


def test_pages_of_a_comparison_and_a_benchmark(tmp_path: Path) -> None:
    table = {"protocol": "abc", "dataset": "mnist5k", "results": rows(), "settings": {"backbone": "builtin"}}
    (tmp_path / "table.json").write_text(json.dumps(table), encoding="utf-8")
    text = markdown((Column("method", lambda r: r["method"]), Column("x", lambda r: "1 ± 0")), rows())
    (tmp_path / "table.md").write_text(text, encoding="utf-8")
    found = outline(report(tmp_path))
    assert found.headings == ["2 methods on mnist5k", "Results", "Searches", "Settings"]
    assert found.plots == 3
    table |= {"benchmark": "mini", "backbone": "builtin", "seen_in_pretraining": ["photos"]}
    (tmp_path / "table.json").write_text(json.dumps(table), encoding="utf-8")
    (tmp_path / "tasks.md").write_text(text, encoding="utf-8")
    page = report(tmp_path)
    assert outline(page).headings == ["Benchmark mini", "Results", "By task", "Settings"]
    assert "pretrained on the images of photos" in page.read_text(encoding="utf-8")


def test_markdown_is_read_back() -> None:
    text = markdown((Column("method", lambda r: r["method"]), Column("empty", lambda r: "")), rows())
    assert read_markdown(text) == [["method", "empty"], ["linear", ""], ["spt", ""]]


def test_a_folder_without_a_finished_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no finished run"):
        report(tmp_path)
    (tmp_path / "run.json").write_text("{}", encoding="utf-8")
    with pytest.raises(UserError, match="--resume"):
        report(tmp_path)


def test_a_runs_page_has_what_a_look_at_its_data_found(folder: Path, weights: Path, tmp_path: Path) -> None:
    (folder / "bee" / "copy.png").write_bytes((folder / "ant" / "0.png").read_bytes())
    write_image(folder / "cow" / "flipped.png", 0, 50)
    config = RunConfig.resolve(
        str(folder), str(weights), "vpt", fields={"num_prompts": 1}, recipe={"epochs": 1, "batch_size": 16}
    )
    result = tune(config, tmp_path / "run")
    data = read_analysis(tmp_path / "run")[0].data
    assert data is not None
    assert data.left_out == []
    assert [{Path(item.name).name for item in (pair.one, pair.other)} for pair in data.exact] == [
        {"0.png", "copy.png"}
    ]
    assert "test_images" in result.metrics
    assert data.judged == len([*folder.glob("*/*")]) - result.metrics["test_images"]
    page = report(tmp_path / "run")
    assert "The data" in outline(page).headings
    assert "1 image(s) are there twice" in page.read_text(encoding="utf-8")
