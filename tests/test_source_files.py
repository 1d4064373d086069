"""What holds of every source file."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = "src", "tests", "benchmarks", "docs", "examples"
FILES = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))


def text_calls(code: str) -> list[ast.Call]:
    """Calls that read or write text in the encoding that the system happens to have."""
    found = []
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Call) and not any(k.arg == "encoding" for k in node.keywords):
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            owner = getattr(getattr(node.func, "value", None), "id", "")
            words = [a.value for a in (*node.args, *(k.value for k in node.keywords)) if isinstance(a, ast.Constant)]
            opened = name == "open" and owner not in ("Image", "os") and not {"rb", "wb", "ab"} & {*map(str, words)}
            if opened or (isinstance(node.func, ast.Attribute) and name in ("read_text", "write_text")):
                found.append(node)
    return found


def test_the_search_finds_what_it_should() -> None:
    assert len(text_calls("p.read_text(); p.write_text('x'); open(p); p.open('w'); open(p, mode='a')")) == 5
    assert not text_calls("p.read_text(encoding='utf-8'); open(p, 'rb'); p.open('wb'); Image.open(p); os.open(p, 0)")


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_text_is_utf8_whatever_the_system_has(path: Path) -> None:
    lines = [call.lineno for call in text_calls(path.read_text(encoding="utf-8"))]
    assert not lines, f"{path.name}: no encoding in lines {lines}"


def test_the_package_is_imported_without_what_windows_lacks() -> None:
    lacks = "resource", "fcntl", "pwd", "grp", "termios"
    # Linux needs some of them itself; what is asked is whether our own files do
    names = {
        alias.name.partition(".")[0]
        for path in (ROOT / "src").rglob("*.py")
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for alias in (node.names if isinstance(node, ast.Import) else [ast.alias(node.module or "")])
    }
    assert not names & set(lacks)
    code = "import sys; sys.modules['resource'] = None; import selfprompt.cli"
    subprocess.run([sys.executable, "-c", code], check=True)
