"""One text where several are wanted is one of them, or is refused: never its letters."""

from __future__ import annotations

from pathlib import Path

import pytest

import selfprompt as sp
from conftest import make_backbone
from selfprompt.comparison import compare as comparison
from selfprompt.comparison.bench import bench, task_of
from selfprompt.comparison.studies import STUDIES
from selfprompt.comparison.study import run_study
from selfprompt.comparison.suites import MINI


def test_class_names_are_one_for_each_class() -> None:
    for names in ("abc", ["ant", "bee"], ["ant"] * 4):
        with pytest.raises(sp.UserError, match="give a list of 3 names, one for each class"):
            sp.create_model(make_backbone(), "vpt", num_classes=3, class_names=names)
    for names in (("ant", "bee", "cow"), ["ant", "bee", "cow"]):
        model = sp.create_model(make_backbone(), "vpt", num_classes=3, class_names=names)
        assert model.class_names == ["ant", "bee", "cow"]


def test_methods_in_one_text_have_commas_between(tmp_path: Path) -> None:
    def made(path: Path) -> comparison.Comparison:
        return task_of(MINI, "mnist5k")

    with pytest.raises(sp.UserError, match="no method named 'nosuch'"):
        comparison.compare(made(tmp_path), "spt, nosuch", tmp_path)
    with pytest.raises(sp.UserError, match="no method named 'nosuch'"):
        bench(MINI, "spt,nosuch", tmp_path)
    with pytest.raises(sp.UserError, match="no method named 'nosuch'"):
        run_study(STUDIES["share"], "spt,nosuch", lambda *_: made(tmp_path), tmp_path)
    assert not list(tmp_path.iterdir())
