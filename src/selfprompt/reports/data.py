"""Part of a run's page about its data: what is there twice, and which labels look wrong."""

from __future__ import annotations

from selfprompt.data.checks.findings import Double, Findings
from selfprompt.data.tables import Kind
from selfprompt.reports.page import Section
from selfprompt.reports.words import shortened

SHOWN = 20
"""Of a kind."""


def data_section(found: Findings, inputs: Kind) -> Section:
    """The worst findings of each kind."""
    words = f"{found.summary[:1].upper()}{found.summary[1:]}. Nobody has looked at them: they are a hint."
    for pairs, what in ((found.exact, "are there twice"), (found.near, "are almost the same as another one")):
        if pairs:
            across = sum(pair.one.split != pair.other.split for pair in pairs)
            words += f" {len(pairs):,} {inputs}(s) {what}, {across:,} of them in two splits."
    words += "".join(f" Not looked at: {why}." for why in found.left_out)
    rows = [row("twice", pair) for pair in found.exact[:SHOWN]]
    rows += [row(f"correlation {pair.similarity:.3f}", pair) for pair in found.near[:SHOWN]]
    rows += [
        (
            f"probability {suspect.given:.3f}",
            f"{suspect.item.split}: {shortened(suspect.item.name)} ({suspect.item.label})",
            f"looks like {suspect.likelier} ({suspect.other:.3f})",
        )
        for suspect in found.suspects[:SHOWN]
    ]
    if rows and max(map(len, (found.exact, found.near, found.suspects))) > SHOWN:
        words += f" The first {SHOWN} of each kind; analysis.json has all."
    return Section("The data", words, head=("", inputs, "") if rows else (), rows=rows)


def row(what: str, pair: Double) -> tuple[str, str, str]:
    """A pair in a table."""
    one, other = (f"{item.split}: {shortened(item.name)} ({item.label})" for item in (pair.one, pair.other))
    return what, one, other
