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


Named = dict[str, np.ndarray]
"""Something by the readout's name."""


def probe(train: Named, labels: np.ndarray, test: Named) -> Named:
    """Logistic regression on standardised features: what the features hold."""
    kinds = {name: make_pipeline(StandardScaler(), LogisticRegression(C=STRENGTH, max_iter=1000)) for name in train}
    return {name: kind.fit(train[name], labels).predict(test[name]) for name, kind in kinds.items()}


def head(train: Named, labels: np.ndarray, test: Named) -> Named:
    """A linear head on the features as they are, by SPT's recipe for MAE: what a run with frozen prompts gets.

    The heads of all readouts are trained at once, none of which sees the others.
    """
    x, xt = (torch.from_numpy(np.stack(list(part.values()))) for part in (train, test))  # (readouts, N, F)
    classes = torch.from_numpy(labels)
    with drawing(0):
        linear = LinearHead(x.shape[2], int(labels.max()) + 1).linear
    weight = linear.weight.detach().T.repeat(len(x), 1, 1).requires_grad_()
    bias = torch.zeros(len(x), 1, weight.shape[2], requires_grad=True)
    groups = [
        {"params": [weight], "weight_decay": RECIPE.head_weight_decay},
        {"params": [bias], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=RECIPE.lr)
    orders = [Plain().order(len(labels), RECIPE.batch_size, 0, epoch, {}) for epoch in range(RECIPE.epochs)]
    batches = [torch.from_numpy(rows) for order in orders for rows in order]
    for step, rows in enumerate(batches):
        set_rates(optimizer, RECIPE, step, len(batches))
        optimizer.zero_grad()
        losses = F.cross_entropy((x[:, rows] @ weight + bias).flatten(0, 1), classes[rows].repeat(len(x)))
        (len(x) * losses).backward()
        optimizer.step()
    with torch.no_grad():
        return dict(zip(train, (xt @ weight + bias).argmax(dim=2).numpy()))


HEADS = {"probe": probe, "head": head}
