"""The two heads of precondition.py."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from selfprompt.heads.linear import LinearHead
from selfprompt.methods import make_method
from selfprompt.prompts.insertion.base import drawing
from selfprompt.rules.plain import Plain
from selfprompt.tuning.optimization import set_rates

STRENGTH = 0.01
RECIPE = make_method("spt").recipe("mae")


def probe(x: np.ndarray, labels: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Logistic regression on standardised features: what the features hold."""
    fitted = make_pipeline(StandardScaler(), LogisticRegression(C=STRENGTH, max_iter=1000)).fit(x, labels)
    return fitted.predict(test)


def head(x: np.ndarray, labels: np.ndarray, test: np.ndarray) -> np.ndarray:
    """A linear head on the features as they are, by SPT's recipe for MAE: what a run with frozen prompts gets."""
    features, classes = torch.from_numpy(x), torch.from_numpy(labels)
    with drawing(0):
        made = LinearHead(x.shape[1], int(labels.max()) + 1)
    groups = [(made.linear.weight, RECIPE.head_weight_decay), (made.linear.bias, 0.0)]
    optimizer = torch.optim.AdamW([{"params": [p], "weight_decay": d} for p, d in groups], lr=RECIPE.lr)
    orders = [Plain().order(len(x), RECIPE.batch_size, 0, epoch) for epoch in range(RECIPE.epochs)]
    batches = [torch.from_numpy(rows) for order in orders for rows in order]
    for step, rows in enumerate(batches):
        set_rates(optimizer, RECIPE, step, len(batches))
        optimizer.zero_grad()
        F.cross_entropy(made(features[rows]), classes[rows]).backward()
        optimizer.step()
    with torch.no_grad():
        return made(torch.from_numpy(test)).argmax(dim=1).numpy()


HEADS = {"probe": probe, "head": head}
