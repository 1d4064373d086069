"""The search: equal trials, no end at which the optimum could lie, and nothing measured twice."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import pytest

from selfprompt.comparison.search import Point, Trial, climb, ends, grid_points, search
from selfprompt.errors import Diverged, UserError
from selfprompt.methods.base import Grid
from selfprompt.methods.recipe import Recipe


def hill(point: Point) -> float:
    head = 0.0 if point.head_lr is None else abs(math.log10(point.head_lr / 3e-3))
    return 90 - 10 * abs(math.log10(point.lr / 3)) - 5 * abs(math.log10(point.decay / 100)) - 7 * head


def climbed(start: Point, count: int) -> list[Trial]:
    trials: list[Trial] = []
    while len(trials) < count:
        point = climb(start, trials)
        trials.append(Trial(point, hill(point), 0.0))
    return trials


def test_the_climb_leaves_its_start_and_brackets_the_optimum() -> None:
    trials = climbed(Point(1e-3), 24)
    best = max(trials, key=lambda t: t.score).point
    assert best.lr == pytest.approx(3, rel=0.3)
    assert best.decay == pytest.approx(100)
    rates = [t.point.lr for t in trials]
    assert min(rates) < best.lr < max(rates)
    assert len({(round(math.log10(t.point.lr), 4), t.point.decay) for t in trials}) == 24


@pytest.mark.parametrize("head", [None, 1e-1])
def test_a_search_is_at_an_end_until_both_sides_of_the_best_rates_were_tried(head: float | None) -> None:
    start = Point(1e-3, head_lr=head)
    count = next(n for n in range(1, 40) if not ends(climbed(start, n)))
    found = climbed(start, count)
    best = max(found, key=lambda t: t.score).point
    for name in ("lr", "head_lr") if head else ("lr",):
        tried = {t.point.params()[name] for t in found}
        assert min(tried) < best.params()[name] < max(tried)
    assert ends(found[:-1])


@pytest.mark.parametrize("stopped", [False, True])
def test_two_rates_are_searched_at_once(stopped: bool, tmp_path: Path) -> None:
    def searched(count: int) -> list[Trial]:
        def propose(done: list[Trial]) -> Point | None:
            return climb(Point(1e-1, head_lr=1e-1), done) if len(done) < count else None

        return search(tmp_path / "log", "spt", propose, lambda _, point: (hill(point), 0.0))

    if stopped:
        assert len(searched(7)) == 7
    trials = searched(30)
    best = max(trials, key=lambda t: t.score).point
    assert (best.lr, best.head_lr, best.decay) == (
        pytest.approx(3, rel=0.3),
        pytest.approx(3e-3, rel=0.3),
        pytest.approx(100),
    )
    for name, chosen in best.params().items():
        tried = [t.point.params()[name] for t in trials]
        assert min(tried) < chosen
        assert max(tried) > chosen
    assert len({tuple(f"{value:.3e}" for value in t.point.params().values()) for t in trials}) == 30


def test_the_first_trials_are_rates() -> None:
    assert [round(t.point.lr, 3) for t in climbed(Point(0.1), 3)] == [0.1, 0.316, 1.0]
    assert climbed(Point(0.1), 1)[0].point == Point(0.1)


def test_a_grid_is_the_papers_own() -> None:
    points = grid_points(Grid((0.1, 1.0), (0.0, 1e-3)), Recipe(weight_decay=1e-2, head_weight_decay=1e-2))
    assert [(p.lr, p.decay * 1e-2) for p in points] == [(0.1, 0.0), (1.0, 0.0), (0.1, 1e-3), (1.0, 1e-3)]


def test_a_killed_search_goes_on_and_a_divergence_is_a_trial(tmp_path: Path) -> None:
    measured: list[tuple[int, Point]] = []

    def measure(number: int, point: Point) -> tuple[float, float]:
        measured.append((number, point))
        if len(measured) == 3:
            raise KeyboardInterrupt
        if point.lr > 3:
            raise Diverged("The loss became nan.")
        return hill(point), 0.5

    def propose(done: list[Trial]) -> Point | None:
        return climb(Point(0.1), done) if len(done) < 6 else None

    with pytest.raises(KeyboardInterrupt):
        search(tmp_path / "journal.log", "spt", propose, measure)
    trials = search(tmp_path / "journal.log", "spt", propose, measure)
    assert [number for number, _ in measured] == [0, 1, 2, 2, 3, 4, 5]
    assert measured[2] == measured[3]
    assert {t.accuracy for t in trials if t.point.lr > 3} == {0.0}
    assert search(tmp_path / "journal.log", "spt", propose, measure) == trials
    assert len(measured) == 7
    assert len(search(tmp_path / "journal.log", "vpt", propose, measure)) == 6


def test_without_optuna_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(UserError, match=r"needs optuna: pip install 'selfprompt\[search\]'"):
        search(tmp_path / "journal.log", "spt", lambda done: None, lambda number, point: (0.0, 0.0))


@pytest.mark.parametrize("damage", [b"\xff\xfe\x00", b"[]\n{}\n", b"{\n{\n", b"hello\nworld\n"])
def test_a_damaged_journal_is_named(damage: bytes, tmp_path: Path) -> None:
    (tmp_path / "journal.log").write_bytes(damage)
    with pytest.raises(UserError, match=r"journal\.log is damaged \(.+\): remove it"):
        search(tmp_path / "journal.log", "x", lambda done: None, lambda number, point: (0.0, 0.0))


@pytest.mark.parametrize("lost", ["decay", "val_loss"])
def test_a_journal_that_lacks_a_number_is_damaged(lost: str, tmp_path: Path) -> None:
    journal, calls = tmp_path / "journal.log", (lambda done: None if done else Point(0.1), lambda *_: (50.0, 1.0))
    search(journal, "linear", *calls)
    journal.write_text(journal.read_text(encoding="utf-8").replace(lost, "lost"), encoding="utf-8")
    with pytest.raises(UserError, match=r"journal\.log is damaged \(.+\): remove it"):
        search(journal, "linear", *calls)


@pytest.mark.parametrize("lr", [1e30, 1e-320])
def test_any_rate_can_be_tried(lr: float, tmp_path: Path) -> None:
    trials = search(tmp_path / "log", "x", lambda done: None if done else Point(lr), lambda *_: (50.0, 1.0))
    assert [trial.point for trial in trials] == [Point(lr)]
