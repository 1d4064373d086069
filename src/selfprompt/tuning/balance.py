"""Training examples that are unevenly shared between classes: said, weighed, or drawn evenly."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from selfprompt.data.examples import class_counts
from selfprompt.errors import UserError
from selfprompt.methods.stages import Stage
from selfprompt.objectives.labels import Labels

logger = logging.getLogger("selfprompt")

SKEWED = 3
"""How many times the smallest class's examples the largest has where a data set counts as unbalanced."""


def is_skewed(counts: np.ndarray) -> bool:
    """Whether the largest of the classes that have examples has more than `SKEWED` times those of the smallest."""
    present = counts[counts > 0]
    return len(present) > 0 and bool(present.max() > SKEWED * present.min())


def tell(
    counts: np.ndarray, names: Sequence[str] | None, inputs: str, stages: Sequence[Stage], several: bool = False
) -> None:
    """Say which classes are the largest and the smallest, where they differ much, and what is done about it.

    Args:
        counts: (C,) training examples of each class.
        names: Of the C classes.
        inputs: What the examples are, in a word.
        stages: As `balanced` made them; without any, nothing is trained, and nothing said.
        several: Whether an example may have several labels.
    """
    if stages and is_skewed(counts):
        large, small = int(counts.argmax()), int(np.where(counts > 0, counts, counts.max()).argmin())
        called = names or [str(i) for i in range(len(counts))]
        logger.warning(
            "Classes are unbalanced: of the training %ss %d are %s, the largest class, and %d are %s, the smallest "
            "(%s).",
            *(inputs, counts[large], called[large], counts[small], called[small]),
            done(stages, several),
        )


def done(stages: Sequence[Stage], several: bool) -> str:
    """What stages do about unbalanced classes, or else what can be asked for."""
    own = [stage.loss for stage in stages if isinstance(stage.loss, Labels)]
    if any(loss.weights for loss in own):
        return "the loss weighs them"
    if any(stage.recipe.balance == "sampler" for stage in stages):
        return "all are drawn as often"
    ways = ["--balance loss weighs them"] if own else []
    if not several:
        if not any(stage.rule.own_order for stage in stages):
            ways.append("--balance sampler draws them evenly")
        ways.append("--metric balanced_accuracy or macro_f1 selects the epoch by all alike")
    return ", ".join(ways) or "nothing is done about it"


def balanced(stage: Stage, labels: Tensor, classes: int) -> Stage:
    """A stage whose objective weighs classes as its recipe asks.

    Args:
        stage: The stage.
        labels: Of the training examples: (N,), or (N, C) booleans.
        classes: C.

    Raises:
        UserError: The recipe asks for a sampler, and examples have several labels or the rule an order of its own.
    """
    balance, counts = stage.recipe.balance, class_counts(labels.numpy(), classes)
    if balance == "sampler" and (labels.ndim == 2 or stage.rule.own_order):
        odd = "an image may have several labels" if labels.ndim == 2 else "the method draws tasks of its own"
        raise UserError(f"There is no --balance sampler where {odd}: use --balance loss.")
    objective = stage.loss
    if not isinstance(objective, Labels) or balance in ("none", "sampler"):
        return stage
    if balance == "auto" and not is_skewed(counts):
        return stage
    parts = np.stack([len(labels) - counts, counts]) if labels.ndim == 2 else counts[None]
    shares = np.maximum(parts, 1) * (2 if labels.ndim == 2 else np.count_nonzero(counts))
    rows = [tuple((len(labels) / row).tolist()) for row in shares]
    return replace(stage, objective=replace(objective, weights=tuple(rows) if labels.ndim == 2 else rows[0]))


def drawn(labels: Tensor, seed: int, epoch: int) -> np.ndarray:
    """As many examples as there are, with replacement, so that every class that has any is as likely.

    Args:
        labels: (N,).
        seed, epoch: What the draw follows from.
    """
    _, own, counts = torch.unique(labels, return_inverse=True, return_counts=True)
    chances = 1 / (len(counts) * counts[own].double().numpy())
    return np.random.default_rng((seed, epoch, 1)).choice(len(labels), len(labels), p=chances)
