"""Linear probe of a backbone, trained and with random weights of the same shape.

    python benchmarks/linear_probe.py builtin mnist5k elpv digits

Logistic regression on standardised features; 1,000 labelled images (800 + 200 to choose the regularisation), split
seed 0, tested on a fifth of the data.
"""

from __future__ import annotations

import sys

import torch

import selfprompt as sp
from selfprompt.data.batches import Decoded
from selfprompt.data.protocol import protocol_for
from selfprompt.runs.probe import probe_accuracy


def main() -> None:
    backbone, *names = sys.argv[1:]
    print("| data | random weights | pretrained |")
    print("|---|---|---|")
    for name in names:
        data = sp.load_dataset(name)
        accuracies = []
        for trained in (False, True):
            model = sp.create_model(backbone, "linear", num_classes=data.num_classes, readout="backbone")
            if not trained:
                torch.manual_seed(0)
                model.backbone.vit.init_weights()
            protocol = protocol_for(model.backbone.info, train_images=1000)
            splits = sp.with_splits(data, protocol)
            parts = (Decoded(part, protocol) for part in (splits.train, splits.val, splits.test))
            accuracies.append(probe_accuracy(model, *parts))
        print(f"| {name} | {accuracies[0]:.1f} | {accuracies[1]:.1f} |", flush=True)


if __name__ == "__main__":
    main()
