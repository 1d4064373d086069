"""Three methods under one protocol, seeds paired, differences with their intervals.

`selfprompt compare` does this with a search of each method's learning rate; here is what lies beneath.
"""

from itertools import combinations
from statistics import mean

from scipy.stats import ttest_rel

import selfprompt as sp

METHODS = {"linear": {}, "vpt": {"num_prompts": 8}, "spt": {"num_prompts": 8, "prompt_rms": 0.1}}


def main(data: str = "digits", seeds: int = 3, epochs: int = 2) -> None:
    dataset = sp.load_dataset(data)
    found = {}
    for method, fields in METHODS.items():
        found[method] = []
        for seed in range(seeds):
            model = sp.create_model(
                "builtin", method=method, class_names=dataset.class_names, seed=seed, head_norm="batch", **fields
            )
            splits = sp.with_splits(dataset, model.protocol)
            recipe = sp.Recipe(epochs=epochs, batch_size=16, lr=3e-2)
            result = sp.fit(model, splits.train, splits.val, recipe=recipe, seed=seed)
            found[method].append(result.metrics["val_accuracy"])
    for one, other in combinations(found, 2):
        low, high = ttest_rel(found[other], found[one]).confidence_interval()
        print(f"{other} - {one}: {mean(found[other]) - mean(found[one]):+.1f} ({low:+.1f} to {high:+.1f})")


if __name__ == "__main__":
    main()
