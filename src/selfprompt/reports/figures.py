"""Plots as SVG that takes the colour of the page's text, so that one file serves light, dark and paper."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup, escape
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from selfprompt.markup import visible
from selfprompt.reports.table import Result
from selfprompt.scores.calibration import Bin

INK = "#010203"  # stands for the page's text colour
LONGEST = 40  # characters of a name
MOST_NAMES = 20  # of rows and columns
COLOURS = ("#3b8ed0", "#e08a1e", "#23a26d", "#c45aa3", "#8a7be0", "#d9534f", "#7f8c3a", "#5b6b7c")
STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "selfprompt",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    **dict.fromkeys(("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"), INK),
}


def svg(figure: Figure, words: str) -> Markup:
    """A figure as inline SVG with ``words`` for those who do not see it."""
    out = io.StringIO()
    with rc_context(STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph .* missing from")  # the reader's own fonts are used
        figure.savefig(out, format="svg", transparent=True, bbox_inches="tight", metadata={"Date": None})
    text = out.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(rf"\b(fill|stroke): {INK}\b", r"\1: currentColor", text)
    text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg[^>]*?) width="([\d.]+)pt"', r'\1 style="width:\2pt"', text, count=1)
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    return Markup(text.replace("<svg", f'<svg role="img" aria-label="{escape(words)}"', 1))


def plot(width: float = 4.2, height: float = 2.7) -> tuple[Figure, Any]:
    """An empty figure in the page's style."""
    with rc_context(STYLE):
        figure = Figure(figsize=(width, height))
        return figure, figure.add_subplot()


def legend(axes: Any, beside: bool) -> None:
    """The names of what is plotted, as they are: a ``$`` in one starts no formula."""
    with rc_context(STYLE):
        side = {"loc": "center left", "bbox_to_anchor": (1, 0.5)} if beside else {}
        for text in axes.legend(fontsize=8, **side).get_texts():
            text.set_parse_math(False)


def curves(
    x: Sequence[float], lines: Mapping[str, Sequence[float]], xlabel: str, ylabel: str, log: bool = False
) -> Markup:
    """Lines over a common axis."""
    figure, axes = plot()
    for i, (name, y) in enumerate(lines.items()):
        axes.plot(x, y, label=name, color=COLOURS[i % len(COLOURS)], marker="o", markersize=3, linewidth=1.5)
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    if log:
        axes.set_xscale("log")
    else:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if len(lines) > 1:
        legend(axes, beside=len(lines) > 3)
    return svg(figure, f"{ylabel} over {xlabel}")


def bars(names: Sequence[str], values: Sequence[float], xlabel: str, ylabel: str) -> Markup:
    """One bar for each name."""
    figure, axes = plot()
    axes.bar(range(len(values)), values, color=COLOURS[0])
    axes.set_xticks(range(len(values)), names)
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    return svg(figure, f"{ylabel} by {xlabel}")


def heat(values: np.ndarray, xlabel: str, ylabel: str, what: str, names: Sequence[str] | None = None) -> Markup:
    """A matrix as colours, with its scale; a square one may have names, which are shown where there is room."""
    figure, axes = plot(height=0.9 + 0.2 * max(3, len(values)))
    extent = (0.5, values.shape[1] + 0.5, len(values) + 0.5, 0.5)
    image = axes.imshow(values, cmap="viridis", aspect="auto", interpolation="nearest", extent=extent)
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    if names is not None and len(names) <= MOST_NAMES:
        shown, places = [visible(name, LONGEST) for name in names], range(1, len(names) + 1)
        axes.set_xticks(places, shown, rotation=45 if max(map(len, shown)) > 2 else 0, ha="center", parse_math=False)
        axes.set_yticks(places, shown, parse_math=False)
    else:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    with rc_context(STYLE):
        bar = figure.colorbar(image, ax=axes)
        bar.outline.set_visible(False)
    bar.set_label(what)
    return svg(figure, f"{what} by {ylabel} and {xlabel}")


def confusion(matrix: np.ndarray, names: Sequence[str]) -> Markup:
    """Counts of true classes (rows) by predicted ones (columns), coloured by their share of the row."""
    side = min(6.0, 1.6 + 0.32 * len(names))
    figure, axes = plot(side, side)
    shares = matrix / np.maximum(1, matrix.sum(axis=1, keepdims=True))
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    names = [visible(name, LONGEST) for name in names]
    turned = 45 if max(map(len, names)) > 2 else 0
    axes.set_xticks(range(len(names)), names, rotation=turned, ha="center", parse_math=False)
    axes.set_yticks(range(len(names)), names, parse_math=False)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    axes.spines[:].set_visible(False)
    if len(names) <= 12:
        for i, j in np.ndindex(*matrix.shape):
            if matrix[i, j]:
                colour = "white" if shares[i, j] > 0.55 else "#26323f"
                axes.text(j, i, matrix[i, j], ha="center", va="center", color=colour, fontsize=8)
    return svg(figure, "confusion matrix")


def reliability(curves: Mapping[str, Sequence[Bin]]) -> Markup:
    """Accuracy over probability, by bins."""
    figure, axes = plot(3.4, 3.2)
    axes.plot([0, 100], [0, 100], color=INK, linewidth=0.8, linestyle=":")
    for i, (name, bins) in enumerate(curves.items()):
        x, y = ([b[key] for b in bins] for key in ("probability", "accuracy"))
        axes.plot(x, y, label=name, color=COLOURS[i], marker="o", markersize=3, linewidth=1.5)
    axes.set_xlabel("probability, %")
    axes.set_ylabel("accuracy, %")
    if len(curves) > 1:
        legend(axes, beside=False)
    return svg(figure, "accuracy over probability")


def accuracies(rows: Sequence[Result]) -> Markup:
    """Mean and deviation of methods over their trained parameters."""
    figure, axes = plot(5.2, 3.2)
    for i, row in enumerate(rows):
        axes.errorbar(
            row["trainable_parameters"],
            row["test_accuracy_mean"],
            yerr=row["test_accuracy_std"],
            fmt="o" if i < len(COLOURS) else "s",
            color=COLOURS[i % len(COLOURS)],
            label=" ".join([row["method"], row.get("setting", "")]),
            capsize=2,
        )
    axes.set_xscale("log")
    axes.set_xlabel("trained parameters, the head's included")
    axes.set_ylabel("test accuracy, %")
    legend(axes, beside=True)
    return svg(figure, "test accuracy over trained parameters")
