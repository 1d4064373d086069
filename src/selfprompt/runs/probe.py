"""What every prompted run is held against: a linear probe and nearest neighbours on the same frozen features."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from selfprompt.data.batches import Decoded, Features
from selfprompt.heads.linear import LinearHead
from selfprompt.model import PromptedModel
from selfprompt.scores.asked import Metric
from selfprompt.scores.metrics import measured
from selfprompt.tuning.fixed_features import frozen_features

STRENGTHS = (1e-3, 1e-2, 1e-1, 1.0)
NEIGHBOURS = (1, 3, 5, 11, 21)
NEVER = 1e4  # a logit beside which others are nothing

Answered = NDArray[Any]


def frozen(model: PromptedModel, *parts: Decoded, batch_size: int = 64) -> list[Features]:
    """The features of each split, not augmented, by a model without prompts around the frozen backbone."""
    return [frozen_features(model, part, batch_size) for part in parts]


def linear_probe(train: Features, val: Features, metric: Metric = "top1") -> Any:
    """Logistic regression on standardised features, fitted.

    The regularisation is the one of four that does best on validation, by the metric. Where images have several
    labels, there is a regression for each class.
    """
    models: list[Any] = [make_pipeline(StandardScaler(), LogisticRegression(C=c, max_iter=1000)) for c in STRENGTHS]
    if train.labels.ndim == 2:
        models = [OneVsRestClassifier(model) for model in models]
    return best(models, train, val, metric)


@torch.no_grad()
def give_weights(head: LinearHead, probe: Any) -> None:
    """Make a head answer as a `linear_probe` does.

    A class that no training image has is never answered.
    """
    several = isinstance(probe, OneVsRestClassifier)
    rows = probe.estimators_ if several else [probe]
    weight, bias = head.linear.weight.zero_(), head.linear.bias.fill_(-NEVER)
    for place, row in enumerate(rows):
        if not hasattr(row, "named_steps"):  # all training images have the class, or none
            bias[place] = NEVER if row.y_[0] else -NEVER
            continue
        scaler, regression = row[0], row[-1]
        own = regression.coef_ / scaler.scale_
        offset = regression.intercept_ - own @ scaler.mean_
        if several:
            weight[place], bias[place] = torch.from_numpy(own[0]), float(offset[0])
            continue
        if len(own) == 1:  # of two classes one regression speaks
            own, offset = np.concatenate([-own, own]) / 2, np.concatenate([-offset, offset]) / 2
        places = torch.from_numpy(regression.classes_)
        weight[places], bias[places] = torch.from_numpy(own).float(), torch.from_numpy(offset).float()


def probe_accuracy(model: PromptedModel, train: Decoded, val: Decoded, test: Decoded) -> float:
    """Test accuracy in percent of `linear_probe` on the features of a model without prompts."""
    known, chosen_by, tested = frozen(model, train, val, test)
    return 100 * float((answered(linear_probe(known, chosen_by), tested) == tested.labels.numpy()).mean())


def nearest(train: Features, val: Features, test: Features, metric: Metric = "top1") -> tuple[Answered, int]:
    """The test images' classes by the vote of their k nearest training images, by the cosine of features.

    Returns:
        The classes, or each class's share of the votes (N, C) where images have several labels; and k, the one of
        `NEIGHBOURS` that does best on validation, by the metric.
    """
    kind = KNeighborsRegressor if train.labels.ndim == 2 else KNeighborsClassifier
    models = [kind(k, metric="cosine") for k in NEIGHBOURS if k <= len(train)]
    chosen: Any = best(models, train, val, metric)
    return answered(chosen, test), chosen.n_neighbors


def answered(model: Any, part: Features) -> Answered:
    """What a fitted model says of some features: classes, or probabilities of each of several labels."""
    several = part.labels.ndim == 2 and hasattr(model, "predict_proba")
    return (model.predict_proba if several else model.predict)(part.features.numpy())


def shares(classes: NDArray[np.integer], count: int) -> NDArray[np.float64]:
    """(N,) classes as (N, C) probabilities."""
    return np.eye(count)[classes]


def best(models: Sequence[Any], train: Features, val: Features, metric: Metric = "top1") -> Any:
    """Of some models, which are fitted, the first that is best on validation: by a metric, with several labels the
    mean average precision."""
    x, y, labels = train.features.numpy(), train.labels.numpy(), val.labels.numpy()

    def score(model: Any) -> float:
        with warnings.catch_warnings():  # that all training images have a class, or none
            warnings.simplefilter("ignore", UserWarning)
            model.fit(x, y.astype(np.int64))
        if labels.ndim == 2:
            return float(measured("map", answered(model, val), labels)[0])
        if metric != "top1":
            count = 1 + max(int(y.max()), int(labels.max()))
            return float(measured(metric, shares(answered(model, val), count), labels)[0])
        return model.score(val.features.numpy(), labels)

    return models[int(np.argmax([score(model) for model in models]))]
