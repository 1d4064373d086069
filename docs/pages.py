"""Pages that the code writes, into docs/generated: a method or paper each, a command each, files from elsewhere."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import method_pages
from selfprompt import adaptations, methods
from selfprompt.cli import COMMANDS, app

HERE = Path(__file__).parent
ROOT = HERE.parent
OUT = HERE / "generated"
ELSEWHERE = {
    "CONTRIBUTING.md": "contributing",
    "CHANGELOG.md": "changelog",
    "SECURITY.md": "security",
    "benchmarks/README.md": "benchmarks",
    "src/selfprompt/backbones/README.md": "keys-and-values",
    "src/selfprompt/backbones/builtin_vit/README.md": "card-builtin",
    "src/selfprompt/backbones/builtin_clip_towers/README.md": "card-builtin-clip",
    "src/selfprompt/backbones/builtin_text_model/README.md": "card-builtin-text",
}
"""Files outside of docs/ that are pages of the site, too."""


def relinked(text: str, source: Path, page: Path) -> str:
    """A page's text whose links to files outside of the site lead to the pages that they are here, or to no link."""

    def link(found: re.Match[str]) -> str:
        said, (name, mark, place) = found[1], found[2].partition("#")
        target = (source.parent / name).resolve()
        if not target.exists():
            return found[0]
        if HERE in target.parents:
            return f"[{said}]({os.path.relpath(target, page.parent)}{mark}{place})"
        inside = str(target.relative_to(ROOT)) if ROOT in target.parents else ""
        if inside in ELSEWHERE:
            return f"[{said}]({os.path.relpath(OUT / ELSEWHERE[inside], page.parent)}.md)"
        return f"`{inside}`" if inside.endswith(said.strip("`")) else f"{said} (`{inside}`)"

    return re.sub(r"(?<!!)\[([^\]]+)\]\((?!https?:|#|mailto:)([^)\s]+)\)", link, text)


def write(name: str, text: str) -> None:
    """A page, written where it has changed: others are not built again."""
    path = OUT / f"{name}.md"
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def generate(*_: Any) -> None:
    for record in methods.RECORDS.values():
        write(f"method-{record.name}", "\n".join(method_pages.of_method(record)))
    for record in adaptations.RECORDS.values():
        write(f"method-{record.name}", "\n".join(method_pages.of_adaptation(record)))
    write("methods", "\n".join(method_pages.index()))
    for name in COMMANDS:
        text = app[name].generate_docs(usage_name=f"selfprompt {name}")
        write(f"cli/{name}", re.sub(r"^# .*", f"# `selfprompt {name}`", text, count=1))
    for file, page in ELSEWHERE.items():
        source = ROOT / file
        write(page, relinked(source.read_text(encoding="utf-8"), source, OUT / f"{page}.md"))


def relink(app: Any, docname: str, source: list[str]) -> None:
    page = Path(app.srcdir) / f"{docname}.md"
    source[0] = relinked(source[0], page, page)


def setup(app: Any) -> dict[str, bool]:
    """Sphinx asks this of an extension."""
    app.connect("builder-inited", generate)
    app.connect("source-read", relink)
    return {"parallel_read_safe": True}
