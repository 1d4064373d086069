"""Which methods stand in a list, their own records say: no list of them is written elsewhere."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import selfprompt
from selfprompt.methods import RECORDS, compared

ROOT = Path(selfprompt.__file__).parent
ABOUT_METHODS = {
    "methods",
    "comparison/studies.py",
    "comparison/suites.py",
}  # about those that they name


def lists(code: str) -> list[str]:
    """Collections and texts of a source that name two methods or more; help gives examples."""
    found = []
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, (ast.Tuple, ast.List, ast.Set, ast.Dict)):
            inside = node.keys if isinstance(node, ast.Dict) else node.elts
            words = [part.value for part in inside if isinstance(part, ast.Constant) and isinstance(part.value, str)]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and "\n" not in node.value:
            words = re.split("[,()]", node.value)
        else:
            continue
        if sum(word.strip().partition(":")[0] in RECORDS for word in words) > 1:
            found.append(ast.unparse(node))
    return found


LISTS = ["x = ['spt', 'vpt']", "x = {'spt': 1, 'pc': 2}", "f('linear,spt:keep=0.5')", "x = 'it takes (vpt, spt)'"]


@pytest.mark.parametrize("code", LISTS)
def test_a_list_is_found(code: str) -> None:
    assert lists(code)


def test_no_list_of_methods_is_kept_by_hand() -> None:
    files = {path.relative_to(ROOT).as_posix(): path for path in ROOT.rglob("*.py")}
    texts = {name: path.read_text(encoding="utf-8") for name, path in files.items()}
    kept = {name: found for name, text in texts.items() if (found := lists(text))}
    assert not {name for name in kept if not {name, name.partition("/")[0]} & ABOUT_METHODS}, kept


def test_the_default_comparison() -> None:
    assert compared() == ["linear", "full", "vpt", "spt"]
    assert set(compared(variants=True)) > {*compared(), "spt:prompt_rms=0.1", "vpt:frozen_prompts=true"}
