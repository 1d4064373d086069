"""The linear probe that every prompted run is held against."""

from __future__ import annotations

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from selfprompt.data.batches import Decoded
from selfprompt.model import PromptedModel
from selfprompt.tuning.fixed_features import frozen_features

STRENGTHS = (1e-3, 1e-2, 1e-1, 1.0)


def linear_probe(model: PromptedModel, train: Decoded, val: Decoded, test: Decoded, batch_size: int = 64) -> float:
    """Test accuracy in percent of logistic regression on the frozen backbone's standardised features.

    The regularisation is the one of four that does best on validation.

    Args:
        model: A model without prompts around the frozen backbone.
        train, val, test: The splits, not augmented.
        batch_size: Images in one forward pass.
    """
    splits = [frozen_features(model, split, batch_size) for split in (train, val, test)]
    (x, y), (x_val, y_val), (x_test, y_test) = ((s.features.numpy(), s.labels.numpy()) for s in splits)
    fits = [make_pipeline(StandardScaler(), LogisticRegression(C=c, max_iter=1000)).fit(x, y) for c in STRENGTHS]
    best = fits[int(np.argmax([f.score(x_val, y_val) for f in fits]))]
    return 100 * float(best.score(x_test, y_test))
