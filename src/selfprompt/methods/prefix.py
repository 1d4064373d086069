"""Deep prompts of language models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from selfprompt.backbones.base import Backbone
from selfprompt.backbones.info import Pretraining
from selfprompt.backbones.text import TextBackbone
from selfprompt.data.templates import Template
from selfprompt.errors import UserError
from selfprompt.methods.recipe import Recipe
from selfprompt.methods.texts import OPTIONS, TextMethod
from selfprompt.prompts.initialization.base import Initialization
from selfprompt.prompts.initialization.free import Free
from selfprompt.prompts.insertion.base import Insertion
from selfprompt.prompts.insertion.past import Past
from selfprompt.registry import Record


class Prefix(TextMethod):
    """Liu et al., "P-Tuning v2: Prompt Tuning Can Be Comparable to Fine-tuning Universally Across Scales and Tasks",
    ACL 2022, arXiv 2110.07602.

    Keys and values of their own at every block, and a linear head. The paper searches rate and number of prompts for
    every task; the recipe is that of the official RTE run with RoBERTa-large.

    Differences: the head reads the mean of the text's words, where the official code reads the first token; there is
    no dropout (0.1 there); the rate falls along a cosine, not linearly; keys and values are free, without the
    optional MLP; they stand outside of positions, where the official code's push those of BERT and RoBERTa on by
    their number; of an encoder-decoder they are the encoder's.
    """

    name: ClassVar[str] = "prefix"
    rates: ClassVar[Mapping[str, float]] = {"mini-text": 3e-2}
    paper_start: ClassVar[Initialization] = Free()
    template: str = "{text}"
    answers: Literal["words", "linear"] = "linear"

    @property
    def count(self) -> int:
        return self.num_prompts or 128

    def text_template(self) -> str:
        template = Template(self.template.replace(OPTIONS, ""))
        if template.soft:
            raise UserError(f"The template {self.template!r} has soft tokens, and prefix has none among words.")
        if self.answers == "words" and not template.masked:
            raise UserError(f"The template {self.template!r} has no {{mask}}, where the label words stand: write it.")
        return self.template

    def insertion(self, backbone: Backbone) -> Insertion:
        assert isinstance(backbone, TextBackbone)
        heads, width = backbone.num_heads, backbone.head_width
        return Past(
            backbone.depth,
            self.count,
            heads=heads,
            head_width=width,
            dropout=self.prompt_dropout,
            parametrization=self.parametrization(backbone, 2 * heads * width),
        )

    def recipe(self, pretraining: Pretraining) -> Recipe:
        return Recipe(lr=5e-3, batch_size=32, weight_decay=0, head_weight_decay=0, warmup=0)


RECORD = Record(
    name="prefix",
    paper="ptuningv2",
    idea="Keys and values of their own at every block of a language model, under a linear head.",
    entry="Prefix",
)
