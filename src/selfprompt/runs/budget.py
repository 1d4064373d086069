"""As many epochs as a time leaves room for, and training that keeps to it."""

from __future__ import annotations

from dataclasses import replace
from math import ceil

from selfprompt import watch
from selfprompt.errors import UserError
from selfprompt.methods.base import Method
from selfprompt.methods.recipe import Recipe
from selfprompt.runs.config import RunConfig
from selfprompt.runs.estimate import Estimate, Then, price
from selfprompt.runs.material import Material
from selfprompt.tuning.engine import Engine


class Deadline:
    """Ends training in time, should its steps turn out slower; stages have their epochs' shares of it.

    Args:
        until: When training must be over, by `watch.clock`.

    Attributes:
        over: Whether it has ended any.
    """

    def __init__(self, until: float) -> None:
        self._begun, self._until, self.over = watch.clock(), until, False

    def __call__(self, share: float) -> bool:
        """See `Ends`."""
        ended = watch.clock() >= self._begun + share * (self._until - self._begun)
        self.over |= ended
        return ended


def within(
    budget: float, config: RunConfig, material: Material, begun: float, then: Then
) -> tuple[RunConfig, Estimate, Deadline]:
    """A configuration with as many epochs as a budget leaves room for, what it will take, and what keeps it to that.

    Args:
        budget: Seconds of the whole run, from ``begun``.
        config, material, begun, then: Of `price`.

    Raises:
        UserError: There is no room for one epoch or for timing it, or the method trains nothing.
    """
    if not config.method.stages(config.recipe):
        raise UserError(f"--budget chooses epochs, and {config.method.name} trains none: leave it out.")
    found = price(config, material, begun, then, budget)
    one = sum(found.epoch.values())
    rest = sum(found.once.values()) - found.once["start"]  # what is still to come

    def choose() -> int:
        left = budget - (watch.clock() - begun) - rest
        if epochs := fitting(config.method, config.recipe, left / one):
            return epochs
        every = (total(config.method, config.recipe, count) for count in range(1, config.recipe.epochs + 1))
        needed = budget - left + one * next(filter(None, every))
        raise UserError(f"--budget leaves no room for an epoch: give {10 * ceil(needed / 10)}s or more.")

    epochs = Engine(config.recipe.precision).from_main(choose)  # processes have clocks of their own
    recipe = config.recipe.model_copy(update={"epochs": epochs})
    chosen = config.model_copy(update={"recipe": recipe})
    deadline = Deadline(begun + budget - found.after - found.epoch["validation"])
    return chosen, replace(found, epochs=total(config.method, recipe, epochs)), deadline


def fitting(method: Method, recipe: Recipe, room: float) -> int:
    """The most epochs of a recipe whose stages fit into so many, 0 where none do."""
    epochs = int(room)
    while epochs > 0:
        trained = total(method, recipe, epochs)
        if trained is not None and trained <= room:
            return epochs
        epochs = min(epochs - 1, int(epochs * room / (trained or room)))
    return 0


def total(method: Method, recipe: Recipe, epochs: int) -> int | None:
    """Epochs of all stages of a recipe of so many; None where the method wants more."""
    try:
        return sum(stage.epochs for stage in method.stages(recipe.model_copy(update={"epochs": epochs})))
    except UserError:
        return None
