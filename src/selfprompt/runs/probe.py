"""What every prompted run is held against: a linear probe and nearest neighbours on the same frozen features."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from selfprompt.data.batches import Decoded, Features
from selfprompt.model import PromptedModel
from selfprompt.tuning.fixed_features import frozen_features

STRENGTHS = (1e-3, 1e-2, 1e-1, 1.0)
NEIGHBOURS = (1, 3, 5, 11, 21)

Labels = NDArray[np.int64]
Classifier = TypeVar("Classifier", bound=Pipeline | KNeighborsClassifier)


def frozen(model: PromptedModel, *parts: Decoded, batch_size: int = 64) -> list[Features]:
    """The features of each split, not augmented, by a model without prompts around the frozen backbone."""
    return [frozen_features(model, part, batch_size) for part in parts]


def linear_probe(train: Features, val: Features, test: Features) -> Labels:
    """The test images' classes by logistic regression on standardised features.

    The regularisation is the one of four that does best on validation.
    """
    models = [make_pipeline(StandardScaler(), LogisticRegression(C=c, max_iter=1000)) for c in STRENGTHS]
    return best(models, train, val).predict(test.features.numpy())


def probe_accuracy(model: PromptedModel, train: Decoded, val: Decoded, test: Decoded) -> float:
    """Test accuracy in percent of `linear_probe` on the features of a model without prompts."""
    features = frozen(model, train, val, test)
    return 100 * float((linear_probe(*features) == features[2].labels.numpy()).mean())


def nearest(train: Features, val: Features, test: Features) -> tuple[Labels, int]:
    """The test images' classes by the vote of their k nearest training images, by the cosine of features.

    Returns:
        The classes, and k, the one of `NEIGHBOURS` that does best on validation.
    """
    counts = [k for k in NEIGHBOURS if k <= len(train)]
    models = [KNeighborsClassifier(k, metric="cosine") for k in counts]
    chosen: Any = best(models, train, val)
    return chosen.predict(test.features.numpy()), chosen.n_neighbors


def best(models: list[Classifier], train: Features, val: Features) -> Classifier:
    """Of some classifiers, which are fitted, the first that is best on validation."""
    x, y, x_val, y_val = (part.numpy() for s in (train, val) for part in (s.features, s.labels))
    scores = [model.fit(x, y).score(x_val, y_val) for model in models]
    return models[int(np.argmax(scores))]
