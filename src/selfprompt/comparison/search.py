"""The search of learning rates and weight decay, on validation alone, every trial kept in an optuna journal."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from selfprompt.errors import Diverged, UserError
from selfprompt.files import unwritable
from selfprompt.methods.base import Grid
from selfprompt.methods.recipe import Recipe

RATE_STEP = math.sqrt(10)
DECAY_STEP = 10.0


@dataclass(frozen=True)
class Point:
    """A learning rate, what the recipe's weight decays are multiplied by, and the head's rate if it has its own."""

    lr: float
    decay: float = 1.0
    head_lr: float | None = None

    def near(self, other: Point) -> bool:
        """Whether both are the same up to rounding."""
        return all(math.isclose(own, there, rel_tol=1e-3) for own, there in zip(self.numbers, other.numbers))

    @property
    def numbers(self) -> tuple[float, ...]:
        """All that it holds."""
        return self.lr, self.decay, *(() if self.head_lr is None else (self.head_lr,))

    def moved(self, lr: float = 1.0, decay: float = 1.0, head_lr: float = 1.0) -> Point:
        """The point with its numbers multiplied."""
        return Point(self.lr * lr, self.decay * decay, self.head_lr and self.head_lr * head_lr)

    def params(self) -> dict[str, float]:
        """Its numbers by name."""
        return {name: value for name, value in asdict(self).items() if value is not None}


@dataclass(frozen=True)
class Trial:
    """A point with its validation accuracy in percent and loss; one that diverged has 0 and infinity."""

    point: Point
    accuracy: float
    loss: float

    @property
    def score(self) -> tuple[float, float]:
        """The larger, the better."""
        return self.accuracy, -self.loss


def climb(start: Point, trials: list[Trial]) -> Point:
    """The next point: beside the best one so far, first in learning rate, then in weight decay, then finer.

    The first trial is ``start``. A step of a rate is the square root of ten, a step of the decay ten; where the head
    has a rate of its own, its steps come after those of the other. There are no bounds, so that the search goes on
    for as long as the best point lies at an end of what was tried.
    """
    if not trials:
        return start
    best = max(trials, key=lambda t: t.score).point
    rates = ["lr"] if start.head_lr is None else ["lr", "head_lr"]
    steps = [(name, RATE_STEP) for name in rates] + [("decay", DECAY_STEP)]
    steps += [(name, RATE_STEP ** (0.5**halvings)) for halvings in range(1, 20) for name in rates]
    around = [best.moved(**{name: factor}) for name, step in steps for factor in (step, 1 / step)]
    return next(point for point in around if not any(point.near(t.point) for t in trials))


def at_an_end(rate: float, tried: Sequence[float]) -> bool:
    """Whether a rate lies at an end of those that were tried."""
    return rate in (min(tried), max(tried))


def ends(trials: Sequence[Trial]) -> bool:
    """Whether a rate of the best point lies at an end of what was tried."""
    best = max(trials, key=lambda t: t.score).point.params()
    points = [t.point.params() for t in trials]
    return any(at_an_end(best[name], [point[name] for point in points]) for name in best if name != "decay")


def grid_points(grid: Grid, recipe: Recipe) -> list[Point]:
    """All points of a paper's grid for the recipe's batch, its decays as multiples of the recipe's."""
    own = recipe.weight_decay or recipe.head_weight_decay
    decays = [wd / own for wd in grid.weight_decay] if own else [1.0]
    return [Point(lr, decay) for decay in decays for lr in grid.rates(recipe.batch_size)]


def search(
    journal: Path,
    name: str,
    propose: Callable[[list[Trial]], Point | None],
    measure: Callable[[int, Point], tuple[float, float]],
) -> list[Trial]:
    """Run trials until ``propose`` has no further point.

    A search that was stopped goes on where it was: finished trials are read from the journal, and one that was
    running is measured again under its own number (``measure`` can take up what it left).

    Args:
        journal: optuna's journal file; any of its tools reads it.
        name: The study's name.
        propose: The next point, given the finished trials; None ends the search.
        measure: (number, point) to validation accuracy and loss.

    Raises:
        UserError: optuna is not installed.
    """
    try:
        import optuna
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend
    except ImportError:
        raise UserError("A comparison needs optuna: pip install 'selfprompt[search]'.") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        storage = JournalStorage(JournalFileBackend(str(journal)))
        study = optuna.create_study(study_name=name, storage=storage, direction="maximize", load_if_exists=True)
        finished(study)  # reads it all
    except OSError as error:
        raise unwritable(journal, error) from None
    except Exception as error:  # the reader raises whatever damaged lines lead it to
        raise UserError(
            f"{journal} is damaged ({type(error).__name__}): remove it; runs that are done are not done again."
        ) from None
    state = optuna.trial.TrialState

    def finish(number: int, point: Point) -> None:
        try:
            accuracy, loss = measure(number, point)
        except Diverged:
            accuracy, loss = 0.0, math.inf
        trial = optuna.trial.Trial(study, study.trials[number]._trial_id)
        trial.set_user_attr("val_loss", loss)
        study.tell(number, accuracy)

    while True:
        frozen = study.trials
        for trial in frozen:
            if trial.state == state.RUNNING:
                finish(trial.number, Point(**trial.params))
        trials = finished(study)
        point = propose(trials)
        if point is None:
            return trials
        study.add_trial(running_trial(point))


def finished(study: Any) -> list[Trial]:
    """A study's trials that are done, in their order."""
    trials = [(t, Point(**t.params)) for t in study.trials]
    return [Trial(point, t.value, t.user_attrs["val_loss"]) for t, point in trials if t.state.name == "COMPLETE"]


def running_trial(point: Point) -> Any:
    """A point as a trial that has begun: the journal has it whole, or not at all, whenever the process is killed."""
    import optuna

    # optuna wants bounds; these are no bounds of the search
    wide: dict[str, Any] = {"lr": optuna.distributions.FloatDistribution(5e-324, 1e308, log=True)}
    wide |= {"decay": optuna.distributions.FloatDistribution(0.0, 1e308), "head_lr": wide["lr"]}
    params = point.params()
    wide = {name: wide[name] for name in params}
    return optuna.trial.create_trial(state=optuna.trial.TrialState.RUNNING, params=params, distributions=wide)
