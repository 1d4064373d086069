"""Conditional context optimisation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from selfprompt.backbones.base import Backbone
from selfprompt.backbones.info import Pretraining
from selfprompt.methods.coop import ContextMethod
from selfprompt.methods.recipe import Recipe
from selfprompt.prompts.insertion.base import Insertion
from selfprompt.prompts.insertion.words import AmongWords
from selfprompt.prompts.parametrization.meta_net import MetaNet
from selfprompt.registry import Record


class CoCoOp(ContextMethod):
    """Zhou et al., "Conditional Prompt Learning for Vision-Language Models", CVPR 2022, arXiv 2203.05557.

    CoOp whose context is shifted by what a small network makes of the image (see `MetaNet`), so that each image has
    texts of its own: what they begin with runs once for each image, and the names of all images as one batch.

    The recipe is the paper's for base to new: M = 4 from "a photo of a", SGD at 0.002 with a batch of 1 over 10
    epochs, cosine. Taken from CoOp's, and not verified: momentum, weight decay and the warm-up of one epoch.
    Differences: those of CoOp; the network's biases do not decay.
    """

    name: ClassVar[str] = "cocoop"
    rates: ClassVar[Mapping[str, float]] = {"embedded-clip": 2e-2, "mini-clip": 2e-1}
    words: str | None = "a photo of a"

    def text_insertion(self, backbone: Backbone, classes: int) -> Insertion:
        net = MetaNet(backbone.num_features, backbone.width)
        return AmongWords(self.count, backbone.width, dropout=self.prompt_dropout, parametrization=net)

    def recipe(self, pretraining: Pretraining) -> Recipe:
        return Recipe(optimizer="sgd", lr=2e-3, batch_size=1, epochs=10, warmup=1 / 10, weight_decay=5e-4)


RECORD = Record(
    name="cocoop",
    paper="cocoop2022",
    idea="CoOp's words are shifted by what a small network makes of each image.",
    entry="CoCoOp",
)
