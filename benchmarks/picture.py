"""The README's picture: where self-prompts come from, read off a finished run.

selfprompt tune --out runs/quickstart
python benchmarks/picture.py runs/quickstart docs/self-prompts.png
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Rectangle

import selfprompt as sp
from selfprompt.data.images import read_image
from selfprompt.data.loading import prepare_image
from selfprompt.tuning.run import read_run

COLUMNS = 10


def main() -> None:
    folder, out = map(Path, sys.argv[1:3])
    config = read_run(folder)
    metrics = json.loads((folder / "metrics.json").read_text())
    splits = sp.with_splits(sp.load_dataset(config.data), config.protocol)
    model = sp.load(folder)
    assert model.sources is not None
    layers = [0, model.backbone.depth // 2, model.backbone.depth - 1]
    side = int(model.backbone.num_patches**0.5)
    size = model.backbone.patch_size

    figure, axes = plt.subplots(len(layers), COLUMNS, figsize=(COLUMNS, 1.12 * len(layers) + 0.5))
    for row, layer in zip(axes, layers):
        for axis, (image, position) in zip(row, model.sources[layer].tolist()):
            pixels = prepare_image(read_image(splits.train.images[image]), config.protocol).transpose(1, 2, 0)
            axis.imshow(255 - np.asarray(pixels))
            corner = (position % side * size - 0.5, position // side * size - 0.5)
            axis.add_patch(Rectangle(corner, size, size, fill=False, color="#d6336c", linewidth=1.8))
            axis.set_xticks([])
            axis.set_yticks([])
            for spine in axis.spines.values():
                spine.set_color("#ced4da")
        row[0].set_ylabel(f"block {layer + 1}", fontsize=9)
    figure.suptitle(
        f"Each prompt starts as one patch token (red) of a training image: {metrics['trainable_parameters']:,} "
        f"trained numbers\ntake the linear probe's {metrics['linear_probe_test_accuracy']:.1f} % "
        f"to {metrics['test_accuracy']:.1f} % on {metrics['test_images']:,} test images of {metrics['dataset']}",
        fontsize=10,
    )
    figure.tight_layout()
    figure.savefig(out, dpi=130)


if __name__ == "__main__":
    main()
