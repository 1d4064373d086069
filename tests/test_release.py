"""What may be released, and that the workflows run what is here."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest
import yaml

import selfprompt as sp

ROOT = Path(__file__).parent.parent
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
VERSION = sp.__version__


@pytest.mark.parametrize(
    ("tag", "heading", "size", "files", "said"),
    [
        (f"v{VERSION}", f"## {VERSION} (2027-01-01)", 5, (1, 1), []),
        ("v9.9.9", f"## {VERSION} (2027-01-01)", 5, (1, 1), ["The tag is v9.9.9"]),
        (f"v{VERSION}", f"## {VERSION} (unreleased)", 5, (1, 1), ["no dated heading"]),
        (f"v{VERSION}", f"## {VERSION} (2027-01-01)", 31_000_000, (1, 1), ["has 31.0 MB"]),
        (f"v{VERSION}", f"## {VERSION} (2027-01-01)", 5, (1, 0), ["1 wheels and 0 sdists"]),
    ],
)
def test_a_release_is_refused_with_a_reason(tag, heading, size, files, said, tmp_path: Path) -> None:
    (tmp_path / "src" / "selfprompt").mkdir(parents=True)
    (tmp_path / "src" / "selfprompt" / "__init__.py").write_text(f'__version__ = "{VERSION}"\n', encoding="utf-8")
    (tmp_path / "CHANGELOG.md").write_text(f"# Changelog\n\n{heading}\n", encoding="utf-8")
    wheel, sdist = (tmp_path / f"selfprompt-{VERSION}{end}" for end in ("-py3-none-any.whl", ".tar.gz"))
    for path, there in zip((wheel, sdist), files):
        if there:
            with path.open("wb") as file:
                file.truncate(size)
    check = runpy.run_path(str(ROOT / ".ci" / "check_release.py"))["faults"]
    found = check(tag, tmp_path, tmp_path)
    assert len(found) == len(said)
    assert all(words in fault for words, fault in zip(said, found))


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_workflows_run_what_is_here(path: Path) -> None:
    workflow = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert workflow["permissions"] == {"contents": "read"}
    steps = [step for job in workflow["jobs"].values() for step in job["steps"]]
    commands = "\n".join(step.get("run", "") for step in steps)
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert set(re.findall(r"\bmake (\w+)", commands)) <= set(targets)
    named = re.findall(r"(?<!\S)\.ci/\S+", commands)
    assert named or "make" in commands
    assert all((ROOT / name).is_file() for name in named)
