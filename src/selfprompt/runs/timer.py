"""How long each stage of a run takes: its units once they are warm, and what it has besides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from selfprompt import watch

TEST = "test"
"""The first stage after training."""


@dataclass
class Spent:
    """The seconds of one beginning of a stage.

    Args:
        ticks: Units and seconds of each step forward.
        rest: Seconds behind the last.
    """

    ticks: list[tuple[int, float]] = field(default_factory=list)
    rest: float = 0.0


def cost(spent: Sequence[Spent]) -> tuple[float, float]:
    """What a stage takes: seconds of a unit, and of each beginning besides.

    Where there are others, the first step forward of each beginning is not of the units' rate, and of the first
    beginning, which is cold, only what follows the last unit counts.
    """
    ticks = [tick for one in spent for tick in one.ticks[1:]] or [tick for one in spent for tick in one.ticks]
    units = sum(count for count, _ in ticks)
    rate = sum(seconds for _, seconds in ticks) / units if units else 0.0
    warm = [one.rest + sum(seconds - rate * count for count, seconds in one.ticks[:1]) for one in spent[1:]]
    warm = warm or [spent[0].rest]
    return rate, max(0.0, sum(warm) / len(warm))


class Timer(watch.Watcher):
    """Takes the time of all stages, those before the test and those after.

    Attributes:
        spent: By whether training is over, and by name.
        known: What `cost` says, likewise.
    """

    def __init__(self) -> None:
        self.spent: dict[tuple[bool, str], list[Spent]] = {}
        self.known: dict[tuple[bool, str], tuple[float, float]] = {}
        self._open: list[tuple[Spent, list[float]]] = []  # when it began, and the last step forward
        self._begun, self._tested, self._ended = watch.clock(), None, 0.0

    def begin(self, name: str, total: int | None, unit: str, done: int) -> None:
        now = watch.clock()
        if name == TEST and self._tested is None:
            self._tested = now
        one = Spent()
        self.spent.setdefault((self._tested is not None, name), []).append(one)
        self._open.append((one, [now, now]))

    def advance(self, units: int, words: str) -> None:
        now, (one, times) = watch.clock(), self._open[-1]
        one.ticks.append((units, now - times[1]))
        times[1] = now

    def end(self) -> None:
        now, (one, times) = watch.clock(), self._open.pop()
        one.rest = now - times[1]
        for _, outer in self._open[-1:]:
            outer[1] += now - times[0]  # which is the inner stage's

    def enough(self, name: str, seconds: float) -> bool:
        """Whether a stage before the test has a warm unit, and took so long."""
        ticks = [tick for one in self.spent.get((False, name), ()) for tick in one.ticks]
        return len(ticks) > 1 and sum(taken for _, taken in ticks) >= seconds

    def stop(self) -> None:
        """What there was to time is over."""
        self._ended = watch.clock()
        self.known = {key: cost(spent) for key, spent in self.spent.items()}

    def besides(self, tested: bool) -> float:
        """Seconds before or after the beginning of the test that are in no stage's cost."""
        middle = self._ended if self._tested is None else self._tested
        whole = self._ended - middle if tested else middle - self._begun
        for (after, name), (rate, each) in self.known.items():
            if after == tested:
                spent = self.spent[after, name]
                whole -= rate * sum(count for one in spent for count, _ in one.ticks) + each * len(spent)
        return max(0.0, whole)
