"""Stages as they are shown."""

from __future__ import annotations

import io

import pytest
from rich.console import Console
from rich.progress import Progress

from selfprompt import watch
from selfprompt.cli.stages import Bars, Lines


def two_epochs() -> None:
    for epoch in range(2):
        with watch.stage("training", 6, "steps", 3 * epoch) as advance:
            for _ in range(3):
                advance(1, "loss 0.1")
            list(watch.counted("abcd", "validation", 8, lambda letter: 2))


def test_a_bar_goes_on_and_one_within_it_is_gone() -> None:
    bars = Progress(console=Console(file=io.StringIO(), force_terminal=True), auto_refresh=False)
    with bars, watch.watched(Bars(bars)):
        two_epochs()
    outer, inner = bars.tasks
    assert (outer.description, outer.completed, outer.total, outer.visible) == ("training", 6, 6, True)
    assert (inner.description, inner.completed, inner.total, inner.visible) == ("validation", 8, 8, False)


def test_a_line_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    with watch.watched(Lines()):
        two_epochs()
    two_epochs()  # whom nobody watches
    assert capsys.readouterr().err.splitlines() == ["training: 6 steps", "validation: 8"]
