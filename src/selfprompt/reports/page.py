"""A page of its own: one HTML file that loads nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader
from markupsafe import Markup

from selfprompt.files import replace_file
from selfprompt.registry import version

NAME = "report.html"


@dataclass(frozen=True)
class Section:
    """A part of a page, in this order.

    Args:
        title: Its heading.
        words: What there is to see.
        code: A command.
        plots: Figures with captions.
        galleries: Headings, each with pictures (address and caption).
        marked: Texts, each with its heading, by words of a share from 0 to 1.
        head, rows: A table.
    """

    title: str
    words: str = ""
    code: str = ""
    plots: Sequence[tuple[Markup, str]] = ()
    galleries: Sequence[tuple[str, Sequence[tuple[str, str]]]] = ()
    marked: Sequence[tuple[str, Sequence[tuple[str, float]]]] = ()
    head: Sequence[Any] = ()
    rows: Sequence[Sequence[Any]] = ()


def write_page(
    folder: Path, title: str, subtitle: str, sections: Sequence[Section], tiles: Sequence[tuple[str, str, str]] = ()
) -> Path:
    """Write report.html.

    Args:
        folder: Where.
        title, subtitle: What it is about.
        sections: Its parts.
        tiles: Numbers that stand first: name, value and a note each.
    """
    environment = Environment(loader=PackageLoader("selfprompt.reports"), autoescape=True, trim_blocks=True)
    text = environment.get_template("page.html").render(
        title=title,
        subtitle=subtitle,
        sections=sections,
        tiles=tiles,
        version=version("selfprompt"),
    )
    replace_file(folder / NAME, text)
    return folder / NAME
