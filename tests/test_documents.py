"""Documents say what the files say."""

from __future__ import annotations

import importlib
import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import selfprompt as sp
from selfprompt import adaptations, methods
from selfprompt.cli import COMMANDS, app

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *(p for p in sorted((ROOT / "docs").rglob("*.md")) if "generated" not in p.parts)]


def test_tables_in_documents_are_those_of_their_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["render.py", "--check"])
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    with pytest.raises(SystemExit) as stop:
        runpy.run_path(str(ROOT / "benchmarks" / "render.py"), run_name="__main__")
    assert stop.value.code == 0


def commands(text: str) -> list[str]:
    """The lines of a page's blocks of code that give a command of ours."""
    blocks = re.findall(r"^```[^\n]*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    lines = [line.lstrip("$! ") for block in blocks for line in block.splitlines()]
    return [line for line in lines if line.startswith("selfprompt ")]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_in_documents_are_commands(path: Path) -> None:
    for line in commands(path.read_text(encoding="utf-8")):
        words = shlex.split(line, comments=True)[1:]
        app.parse_args(words, exit_on_error=False, print_error=False)


@pytest.mark.parametrize("name", [*methods.RECORDS, *adaptations.RECORDS])
def test_the_page_of_a_method_says_where_it_stands_what_runs_it_and_what_was_reported(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    pages = importlib.import_module("method_pages")
    built = name in methods.RECORDS
    record = (methods.RECORDS if built else adaptations.RECORDS)[name]
    page = "\n".join((pages.of_method if built else pages.of_adaptation)(record))
    file = re.findall(r"^Code: `([^`]+)`", page, re.MULTILINE)[0]
    assert f'name="{name}"' in (ROOT / file).read_text(encoding="utf-8")
    if record.source:
        assert f"https://arxiv.org/abs/{record.source.arxiv}" in page
        assert "## Published numbers" in page
    if built:
        assert f"\n$ selfprompt tune --method {name}\n" in page
        assert "Nothing is trained." in page or "embedded example" in page
    for line in commands(page):
        app.parse_args(shlex.split(line, comments=True)[1:], exit_on_error=False, print_error=False)


def test_the_table_of_methods_links_each_to_its_file_and_its_paper() -> None:
    rows = [line for line in (ROOT / "README.md").read_text(encoding="utf-8").splitlines() if line.startswith("| [`")]
    found = {name: line for line in rows for name in re.findall(r"\[`([a-z0-9-]+)`\]\(src/selfprompt/methods/", line)}
    assert set(found) == set(methods.RECORDS)
    for name, record in methods.RECORDS.items():
        file = f"src/{record.module.replace('.', '/')}.py"
        assert f"[`{name}`]({file})" in found[name]
        assert (ROOT / file).is_file()
        assert name in ("linear", "full") or f"https://arxiv.org/abs/{record.source.arxiv}" in found[name]


@pytest.mark.slow
def test_the_site_is_built_without_a_warning_and_its_pages_are_run(tmp_path: Path) -> None:
    """Tutorials are run as they are built; every method and command has a page."""
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-n", str(ROOT / "docs"), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for name in [*sp.list_methods(), *sp.list_adaptations()]:
        assert "What is built" in (tmp_path / "generated" / f"method-{name}.html").read_text(encoding="utf-8")
    assert all((tmp_path / "generated" / "cli" / f"{name}.html").exists() for name in COMMANDS)
    for name in ("images", "compare", "texts"):
        assert "test accuracy" in (tmp_path / "tutorials" / f"{name}.html").read_text(encoding="utf-8")
