"""A method of your own in one file: VPT's prompts from an orthogonal start.

In `src/selfprompt/methods/`, with a `RECORD`, it has a name on the command line, a page in the documentation, and
every test that methods are held to (CONTRIBUTING.md).
"""

from typing import ClassVar

import torch

import selfprompt as sp
from selfprompt.methods.base import TokenPrompts
from selfprompt.methods.recipe import Recipe
from selfprompt.prompts.initialization.base import Initialization, Prompts


class Orthogonal(Initialization):
    """Orthonormal prompts: P <= D."""

    needs_data = False

    def prepare(self, backbone, batches, layers, num_prompts, seed):
        drawn = torch.randn(layers, backbone.width, num_prompts, generator=torch.Generator().manual_seed(seed))
        return Prompts(torch.linalg.qr(drawn).Q.mT.contiguous())


class OrthogonalVPT(TokenPrompts):
    """VPT, from an orthogonal start."""

    name: ClassVar[str] = "orthogonal-vpt"
    paper_start: ClassVar[Initialization] = Orthogonal()

    def recipe(self, pretraining: str) -> Recipe:
        return Recipe(lr=1e-2)


def main(data: str = "digits", epochs: int = 3) -> None:
    dataset = sp.load_dataset(data)
    model = sp.create_model("builtin", method=OrthogonalVPT(num_prompts=8), class_names=dataset.class_names)
    splits = sp.with_splits(dataset, model.protocol)
    result = sp.fit(model, splits.train, splits.val, recipe=sp.Recipe(epochs=epochs, batch_size=32, lr=1e-2))
    print(f"validation accuracy {result.metrics['val_accuracy']:.1f} %")


if __name__ == "__main__":
    main()
