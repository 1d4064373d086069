"""The stages of a fit."""

from __future__ import annotations

from dataclasses import dataclass

from selfprompt.methods.recipe import Recipe
from selfprompt.objectives.base import Objective, Penalty
from selfprompt.objectives.labels import Labels
from selfprompt.prompts.condensation.base import Condensation
from selfprompt.rules.base import Rule
from selfprompt.rules.plain import Plain

PLAIN = Plain()


@dataclass(frozen=True)
class Again:
    """The next stage starts where this one did, and its rule is told the way that this one took."""


@dataclass(frozen=True)
class Stage:
    """One training of a fit.

    Args:
        recipe: Its optimisation.
        objective: The loss of each example; left open, the cross-entropy with labels as the recipe smooths them.
        penalties: Terms that need no batch.
        rule: What a step does with its examples.
        until: End after so many epochs of the recipe, whose schedule stays; None goes to its end.
        then: What is done to the prompts before the next stage; None in the last one.
    """

    recipe: Recipe
    objective: Objective | None = None
    penalties: tuple[Penalty, ...] = ()
    rule: Rule = PLAIN
    until: int | None = None
    then: Condensation | Again | None = None

    @property
    def loss(self) -> Objective:
        """The loss of each example."""
        return self.objective or Labels(self.recipe.label_smoothing)

    @property
    def epochs(self) -> int:
        """How many it has."""
        return self.until or self.recipe.epochs
