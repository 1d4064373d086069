"""Labels that look wrong, by what a classifier says of examples that it has not seen.

The way is that of confident learning (Northcutt, Jiang and Chuang, "Confident Learning: Estimating Uncertainty in
Dataset Labels", arXiv 1911.00068), on frozen features.
"""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray

FOLDS = 5
STRENGTH = 0.1
"""Inverse regularisation of the logistic regression; benchmarks/data_check.py measures with it."""

Floats = NDArray[np.floating]
Labels = NDArray[np.int64]


def out_of_fold(
    features: Floats, labels: Labels, num_classes: int, groups: NDArray[np.int64] | None = None, seed: int = 0
) -> Floats:
    """Class probabilities of each example by logistic regression on the others: stratified folds, groups kept whole.

    Args:
        features: (N, F), standardised here.
        labels: (N,).
        num_classes: C.
        groups: (N,) what must not be cut; -1 belongs to nothing.
        seed: Of the folds.

    Returns:
        (N, C), NaN for an example that cannot be judged: of a class with fewer examples than `FOLDS`, or with none
        outside its fold.
    """
    from sklearn.linear_model import LogisticRegression  # it takes a second
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    found = np.full((len(labels), num_classes), np.nan)
    counts = np.bincount(labels, minlength=num_classes)
    able = np.flatnonzero(counts[labels] >= FOLDS)
    x, y, together, kind = features[able], labels[able], None, StratifiedKFold
    if groups is not None:
        alone = np.arange(len(able)) + groups.max() + 1
        together, kind = np.where(groups[able] < 0, alone, groups[able]), StratifiedGroupKFold
    if len(np.unique(y)) < 2 or (together is not None and len(np.unique(together)) < FOLDS):
        return found
    with warnings.catch_warnings():  # of a class with fewer groups than folds, and of iterations
        warnings.simplefilter("ignore")
        for seen, left in kind(FOLDS, shuffle=True, random_state=seed).split(x, y, together):
            if not len(left) or len(known := np.unique(y[seen])) < 2:
                continue
            model = make_pipeline(StandardScaler(), LogisticRegression(C=STRENGTH, max_iter=200))
            judged = np.zeros((len(left), num_classes))
            judged[:, known] = model.fit(x[seen], y[seen]).predict_proba(x[left])
            judged[~np.isin(y[left], known)] = np.nan
            found[able[left]] = judged
    return found


def ranked(probabilities: Floats, labels: Labels) -> Labels:
    """(M,) the examples that were judged, that of the least probable label first."""
    given = probabilities[np.arange(len(labels)), labels]
    order = np.argsort(given, kind="stable")
    return order[~np.isnan(given[order])]


def suspects(probabilities: Floats, labels: Labels) -> list[tuple[int, int]]:
    """Examples that look like another class, and which, that of the least probable label first.

    An example looks like a class where that one is at least as probable as it is, on average, for the examples
    labelled so; of several it is the likeliest (the confident joint of arXiv 1911.00068).

    Args:
        probabilities: (N, C) of `out_of_fold`.
        labels: (N,).
    """
    order = ranked(probabilities, labels)
    given = probabilities[np.arange(len(labels)), labels]
    usual = np.full(probabilities.shape[1], np.inf)
    for label in np.unique(labels[order]):
        usual[label] = given[order][labels[order] == label].mean()
    sure = np.where(probabilities[order] >= usual, probabilities[order], -1)
    likelier = sure.argmax(axis=1)
    wrong = (sure.max(axis=1) >= 0) & (likelier != labels[order])
    return list(zip(order[wrong].tolist(), likelier[wrong].tolist()))
