"""Parts of pages, in Markdown."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Any

from sphinx.ext.napoleon import Config, GoogleDocstring

from selfprompt.papers import Paper

NAPOLEON = Config(napoleon_use_param=False, napoleon_use_rtype=False, napoleon_use_ivar=True)
JOURNALS = "arXiv", "IJCV", "IEEE TCSVT"


def table(head: Iterable[str], rows: Iterable[Iterable[Any]]) -> list[str]:
    """A table in Markdown."""
    lines = [list(head), *([str(cell).replace("|", "\\|") for cell in row] for row in rows)]
    lines.insert(1, ["---"] * len(lines[0]))
    return ["", *("| " + " | ".join(line) + " |" for line in lines), ""]


def fenced(language: str, text: str) -> list[str]:
    return ["", f"```{language}", *text.strip("\n").split("\n"), "```", ""]


def docstring(of: Any) -> list[str]:
    """What a docstring says, arguments and all."""
    text = str(GoogleDocstring(inspect.getdoc(of) or "", NAPOLEON))
    return fenced("{eval-rst}", f".. currentmodule:: selfprompt\n\n{text}")


def bibtex(key: str, paper: Paper) -> str:
    authors = paper.authors.replace(" et al.", " and others").replace(", ", " and ")
    kind, where = ("article", "journal") if paper.venue in JOURNALS else ("inproceedings", "booktitle")
    return (
        f"@{kind}{{{key},\n  title = {{{paper.title}}},\n  author = {{{authors}}},\n  {where} = {{{paper.venue}}},\n"
        f"  year = {{{paper.year}}},\n  eprint = {{{paper.arxiv}}},\n  archivePrefix = {{arXiv}}\n}}"
    )


def arxiv(paper: Paper) -> str:
    return f"[{paper.arxiv}](https://arxiv.org/abs/{paper.arxiv})"
