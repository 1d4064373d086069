"""Names that users chose stand in pages, plots, tables and cards as they are, whatever they are made of."""

from __future__ import annotations

import csv
import dataclasses
import html
import io
import re
import shutil
import warnings
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from huggingface_hub import ModelCard
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from conftest import make_backbone
from selfprompt.assembly import create_model
from selfprompt.markup import latex, markdown, visible
from selfprompt.reports import figures, report
from selfprompt.reports.page import Section, write_page
from selfprompt.reports.table import Column, comma_separated, read_markdown
from selfprompt.reports.table import latex as latex_table
from selfprompt.reports.table import markdown as markdown_table
from selfprompt.runs.config import RunConfig
from selfprompt.runs.tune import tune

NAMES = ["$5_bill", "$10_to_$20", "a$\\b$", r"\$x\$", "a&b|c,d\"e'f", "<i>", "<script>alert(1)</script>", "&lt;"]
NAMES += ["x^2_{i}", "猫", "🐶", "👩\u200d🚀", "خروف", "{{ 7 * 7 }}", "{% raw %}", "__init__", "*a* `b` ~~c~~ [d](e)"]
NAMES += ["50 %", "#one", "#010203", "- a: [b", "'single'", "=1+1", "two  words"]


def shown(svg: str) -> list[str]:
    """The text of a plot."""
    root = ElementTree.fromstring(svg)
    return [element.text or "" for element in root.iter("{http://www.w3.org/2000/svg}text")]


@pytest.fixture(autouse=True)
def no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@pytest.mark.parametrize("name", NAMES)
def test_a_plot_shows_the_name(name: str) -> None:
    plot = figures.confusion(np.array([[2, 1], [0, 3]]), [name, "other"])
    assert shown(plot).count(name) == 2
    assert figures.INK not in re.sub(">[^<]*<", "><", plot)
    row = {"method": f"spt:x={name}", "test_accuracy_mean": 9.0, "test_accuracy_std": 1.0, "trainable_parameters": 10}
    legend = shown(figures.accuracies([{**row, "setting": name}, row]))
    assert {f"spt:x={name} {name}", f"spt:x={name} "} <= set(legend)


def test_a_logarithmic_axis_keeps_its_powers() -> None:
    plot = figures.curves([1e-3, 1e-1], {"$a": [1, 2], "$b$": [2, 1]}, "learning rate", "accuracy", log=True)
    assert not any("mathdefault" in text for text in shown(plot))
    assert {"$a", "$b$"} <= set(shown(plot))


def test_unseen_characters_are_escaped_and_long_names_cut_in_the_middle() -> None:
    assert visible("a\nb\tc\udc80\u2028") == r"a\nb\tc\udc80\u2028"
    assert visible("x" * 40, 40) == "x" * 40
    cut = visible("first" + "x" * 250 + "last", 40)
    assert (len(cut), cut[:5], cut[-4:]) == (40, "first", "last")
    matrix = np.eye(2, dtype=int)
    assert r"a\nb" in shown(figures.confusion(matrix, ["a\nb", "y" * 255]))


@pytest.mark.parametrize("name", NAMES)
def test_a_page_shows_the_name(name: str, tmp_path: Path) -> None:
    section = Section(name, name, code=name, galleries=[(name, [("data:,", name)])], head=[name], rows=[[name]])
    text = write_page(tmp_path, name, name, [section], [(name, name, name)]).read_text(encoding="utf-8")
    assert text.count(html.escape(name).replace("&#x27;", "&#39;").replace("&quot;", "&#34;")) == 14
    assert "<script" not in text


ODD = st.text(st.sampled_from("a_ |\\`*<>$&[]{}~^#%;lt\n\r\u2028é猫"), max_size=12)


@given(ODD)
def test_markdown_shows_any_text(text: str) -> None:
    wanted = visible(text).strip()
    table = markdown_table([Column("x", lambda r: r["x"])], [{"x": text}, {"x": "last"}])
    cells = re.findall("<td>(.*?)</td>", MarkdownIt("gfm-like", {"linkify": False}).render(table), re.DOTALL)
    assert [html.unescape(cell) for cell in cells] == [wanted, "last"]
    assert read_markdown(table) == [["x"], [wanted], ["last"]]


def test_an_ordinary_table_is_as_it_was() -> None:
    assert markdown("spt:prompt_rms=0.1, 89.9 ± 0.3 (+1.2; SPT, unverified) †") == (
        "spt:prompt_rms=0.1, 89.9 ± 0.3 (+1.2; SPT, unverified) †"
    )


def test_latex_escapes_what_it_would_read() -> None:
    assert latex(r"a_b & 5 % of $5 #1 {x}~^\ ± [z]*<i>|") == (
        r"a\_b \& 5 \% of \$5 \#1 \{x\}\textasciitilde{}\textasciicircum{}\textbackslash{} $\pm$ "
        r"{[}z{]}{*}\textless{}i\textgreater{}\textbar{}"
    )
    columns = [Column("a_1", lambda r: r["x"]), Column("b", lambda r: "1")]
    lines = latex_table(columns, [{"x": "[5pt]\n$"}]).splitlines()
    assert [line for line in lines if " & " in line] == ["a\\_1 & b \\\\", r"{[}5pt{]}\textbackslash{}n\$ & 1 \\"]


def test_csv_gives_names_back() -> None:
    rows = [{"x": name} for name in (*NAMES, "a\nb")]
    text = comma_separated([Column("x", lambda r: r["x"])], rows)
    assert [row[0] for row in csv.reader(io.StringIO(text, newline=""))] == ["x", *(row["x"] for row in rows)]


def test_a_card_shows_the_names(tmp_path: Path) -> None:
    model = create_model(make_backbone(), "vpt", num_classes=len(NAMES), num_prompts=2, class_names=NAMES)
    model.metrics = {"dataset": "<b>|$d$", "seed": 0, "val_accuracy": 90.0, "test_accuracy": None}
    model.backbone.info = dataclasses.replace(model.backbone.info, architecture="a: [b|`c`\n")
    model.initialize()
    model.save_pretrained(tmp_path)
    card = ModelCard.load(tmp_path / "README.md")
    assert card.data.to_dict()["base_model_architecture"] == "a: [b|`c`\n"
    assert card.data.tags == ["selfprompt", "prompt-tuning", "image-classification", "vpt"]
    table = MarkdownIt("gfm-like", {"linkify": False}).render(card.text)
    rows = [
        [html.unescape(re.sub(r"</?(code|th|td)[^>]*>", "", cell)) for cell in re.findall("<td>(.*?)</td>", row)]
        for row in re.findall("<tr>(.*?)</tr>", table, re.DOTALL)[1:]
    ]
    assert {len(row) for row in rows} == {2}
    cells = dict(rows)
    assert cells["Classes"] == f"{len(NAMES)}: {', '.join(NAMES[:20])}, ..."
    assert cells["Data"] == "<b>|$d$"


def test_the_page_of_a_run_with_such_names(folder: Path, weights: Path, tmp_path: Path) -> None:
    for old, new in zip(("ant", "bee", "cow"), ("$5_bill\\$10", "<i>🐶|{{ x }}", 'two\r\n,";lines')):
        shutil.move(folder / old, folder / new)
    folder = folder.rename(folder.with_name("$1-$5 <b>"))
    config = RunConfig.resolve(str(folder), str(weights), "linear", recipe={"epochs": 1, "batch_size": 4})
    tune(config, tmp_path / "run")
    text = report(tmp_path / "run").read_text(encoding="utf-8")
    start = text.index('aria-label="confusion matrix"')
    plot = text[text.rindex("<svg", 0, start) : text.index("</svg>", start) + len("</svg>")]
    assert {"$5_bill\\$10", "<i>🐶|{{ x }}", r'two\r\n,";lines'} <= set(shown(plot))
    assert "<title>linear on $1-$5 &lt;b&gt;</title>" in text
