"""Names that users chose, as text that stays itself in a figure, in Markdown and in LaTeX."""

from __future__ import annotations

import re
import unicodedata

UNSEEN = ("Cc", "Cs", "Zl", "Zp")  # control characters, halves of surrogate pairs, line and paragraph separators
MARKDOWN = re.compile(r"[\\`*~$<|\[\]]|&(?=#?\w+;)|(?<![^\W_])_|_(?![^\W_])")
LATEX = {c: "\\" + c for c in "&%$#_{}"} | {c: f"{{{c}}}" for c in "[]*"} | {"±": r"$\pm$"}
LATEX |= {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
}


def visible(text: str, longest: int | None = None) -> str:
    """Text on one line, line ends and other unseen characters as their escapes.

    Args:
        text: Any text.
        longest: Characters that are kept, about half from either end.
    """
    shown = [c.encode("unicode_escape").decode() if unicodedata.category(c) in UNSEEN else c for c in text]
    line = "".join(shown)
    if longest is not None and len(line) > longest:
        line = line[: longest // 2] + "…" + line[-(longest - longest // 2 - 1) :]
    return line


def markdown(text: str) -> str:
    """Text that Markdown, in a table too, shows as it is; a ``_`` within a word is left alone."""
    return MARKDOWN.sub(r"\\\g<0>", visible(text))


def latex(text: str) -> str:
    """Text that LaTeX, in a table too, sets as it is."""
    return visible(text).translate(str.maketrans(LATEX))
