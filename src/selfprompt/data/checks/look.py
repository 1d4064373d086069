"""A look at examples: which are there twice, and whose labels look wrong."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import NDArray

from selfprompt.data.checks.doubles import doubles, exact, near
from selfprompt.data.checks.findings import Findings, Item, Suspect
from selfprompt.data.checks.labels import out_of_fold, suspects


def look_for_doubles(
    items: Sequence[Item], keys: Sequence[Hashable], small: Sequence[NDArray[np.uint8]] | None = None
) -> Findings:
    """Exact doubles, and near ones among the rest.

    Args:
        items: N examples, those of a split together.
        keys: What is the same where examples are.
        small: The pictures made small (see `doubles.fingerprint`); None where there are none.
    """
    same = exact(keys)
    found = Findings(exact=doubles(items, [(i, j, 1.0) for i, j in same]))
    rest = np.setdiff1d(np.arange(len(items)), [j for _, j in same])
    if small is None or not len(rest):
        return found
    order = list(dict.fromkeys(item.split for item in items))
    splits = np.array([order.index(items[i].split) for i in rest])
    pairs = [(int(rest[i]), int(rest[j]), alike) for i, j, alike in near(np.stack([small[i] for i in rest]), splits)]
    return found.model_copy(update={"near": doubles(items, pairs)})


def look_at_labels(
    found: Findings,
    items: Sequence[Item],
    classes: Sequence[str],
    features: NDArray[np.floating],
    labels: NDArray[np.int64],
    groups: NDArray[np.int64] | None,
    backbone: str,
) -> Findings:
    """What was found, with the labels that look wrong.

    Args:
        found: That.
        items: N examples.
        classes: Names of the classes.
        features: (N, F), frozen.
        labels: (N,).
        groups: See `out_of_fold`.
        backbone: Whose features they are.
    """
    probabilities = out_of_fold(features, labels, len(classes), groups)
    judged = np.flatnonzero(~np.isnan(probabilities).any(axis=1))
    if not len(judged):
        why = "labels: no two classes have five examples each (and five groups), which it takes"
        return found.model_copy(update={"left_out": [*found.left_out, why]})
    suspicious = [
        Suspect(
            item=items[i],
            likelier=classes[likelier],
            given=float(probabilities[i, labels[i]]),
            other=float(probabilities[i, likelier]),
        )
        for i, likelier in suspects(probabilities, labels)
    ]
    right = float((probabilities[judged].argmax(axis=1) == labels[judged]).mean())
    return found.model_copy(
        update={"suspects": suspicious, "judged": len(judged), "right": right, "features": backbone}
    )


def numbered(groups: Sequence[NDArray | None], sizes: Sequence[int]) -> NDArray[np.int64] | None:
    """Groups of several splits as numbers, -1 where a split has none; None where no split has any."""
    if all(own is None for own in groups):
        return None
    every = [name for own in groups if own is not None for name in own.tolist()]
    numbers = {name: i for i, name in enumerate(dict.fromkeys(every))}
    parts = [
        np.full(size, -1) if own is None else np.array([numbers[name] for name in own.tolist()])
        for own, size in zip(groups, sizes)
    ]
    return np.concatenate(parts).astype(np.int64)
