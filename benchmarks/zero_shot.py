"""A pair of towers on real digits and clothes: by class names alone, and with CoOp's context from a few images.

    apt-get install dataset-fashion-mnist
    python benchmarks/zero_shot.py open_clip:FOLDER

All 5,000 digits of mnist5k and the 10,000 test images of Fashion-MNIST, top-1 %. CoOp sees 200 digits, 160 to train
and 40 to select, and is tested on a fifth; zero-shot stands beside it on the same fifth.
"""

from __future__ import annotations

import sys

import selfprompt as sp
from selfprompt.data.batches import Decoded
from selfprompt.data.datasets import Examples
from selfprompt.data.protocol import protocol_for
from selfprompt.tuning.engine import Engine
from selfprompt.tuning.evaluation import evaluate_network

TEMPLATE = "a {}"  # the packaged pair knows no full stop
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
DIGITS = [f"digit {word}" for word in WORDS]


def main() -> None:
    backbone = sys.argv[1]
    engine, digits, clothes = Engine("float32"), sp.load_dataset("mnist5k"), sp.load_dataset("fashion/whole")
    assert clothes.test is not None

    def zero_shot(names: list[str], examples: Examples) -> float:
        model = sp.create_model(backbone, "zeroshot", class_names=names, template=TEMPLATE)
        images = Decoded(examples, protocol_for(model.backbone.info))
        return evaluate_network(model, images, engine, 256)[0]

    print(f"mnist5k, zero-shot: {zero_shot(DIGITS, digits.train):.1f}", flush=True)
    print(f"fashion, zero-shot: {zero_shot(list(clothes.class_names), clothes.test):.1f}", flush=True)

    model = sp.create_model(backbone, "coop", class_names=DIGITS, ending="")
    protocol = protocol_for(model.backbone.info, train_images=200)
    splits = sp.with_splits(digits, protocol)
    assert splits.test is not None
    print(f"mnist5k, a fifth, zero-shot: {zero_shot(DIGITS, splits.test):.1f}", flush=True)
    recipe = sp.Recipe(optimizer="sgd", lr=0.02, batch_size=32, epochs=60, warmup=1 / 60, weight_decay=5e-4)
    sp.fit(model, splits.train, splits.val, recipe=recipe)
    test = Decoded(splits.test, protocol)
    print(f"mnist5k, a fifth, CoOp: {evaluate_network(model, test, engine, 256)[0]:.1f}")


if __name__ == "__main__":
    main()
