"""Prompt tuning of language models."""

from __future__ import annotations

import re
from typing import ClassVar

from pydantic import model_validator

from selfprompt.backbones.base import Backbone
from selfprompt.backbones.info import Pretraining
from selfprompt.backbones.text import TextBackbone
from selfprompt.data.templates import Template
from selfprompt.errors import UserError
from selfprompt.methods.recipe import Recipe
from selfprompt.methods.texts import TextMethod
from selfprompt.prompts.initialization.base import Initialization
from selfprompt.prompts.initialization.vocabulary import OfWords, Start
from selfprompt.prompts.insertion.base import Insertion
from selfprompt.prompts.insertion.words import AmongWords
from selfprompt.registry import Record


class PromptTuning(TextMethod):
    """Lester et al., "The Power of Scale for Parameter-Efficient Prompt Tuning", EMNLP 2021, arXiv 2104.08691.

    ``[P ; X]``: prompts among the words of a frozen language model, which answers with a class's words. They may
    stand anywhere in a template; published, before the text, 100 of them, started from the classes' words.

    The recipe's rate of 0.3 at batch 32, constant, with a weight decay of 1e-5, is the paper's. Differences: it
    trains T5 with Adafactor over 30,000 steps, where AdamW here trains 100 epochs; the loss is over label words alone
    (see `LabelWords`), where the paper's is the language model's.

    Args:
        start_from: random numbers, words of the vocabulary, or the classes' label words.
    """

    name: ClassVar[str] = "prompt-tuning"
    template: str = "{soft} {text} {mask}"
    start_from: Start = "labels"

    @model_validator(mode="after")
    def check_template(self) -> PromptTuning:
        """Refuse a template without prompts, without a mask where words answer, or with another number of prompts."""
        template = Template(self.text_template())
        if not template.soft:
            raise UserError(f"The template {self.template!r} has no {{soft}}, where the prompts stand: write it.")
        if template.soft != self.count:
            raise UserError(
                f"The template {self.template!r} has {template.soft} prompts and num_prompts is {self.num_prompts}: "
                f"leave num_prompts out."
            )
        if self.keep < 1:
            raise UserError("Prompts among words are not condensed: leave keep out.")
        if self.answers == "words" and not template.masked:
            raise UserError(
                f"The template {self.template!r} has no {{mask}}, where the label words stand: write it, or use "
                f"answers=linear."
            )
        return self

    @property
    def count(self) -> int:
        numbers = [int(n) for n in re.findall(r"\{soft:(\d+)\}", self.template)]
        return self.num_prompts or sum(numbers) or 100

    def text_template(self) -> str:
        return self.template.replace("{soft}", f"{{soft:{self.count}}}")

    def own_start(self) -> Initialization:
        words = self.label_words if isinstance(self.label_words, dict) else {}
        kind: Start = "vocabulary" if self.start_from == "labels" and not words else self.start_from
        return OfWords(kind, tuple(word for name in words for word in words[name]))

    def insertion(self, backbone: Backbone) -> Insertion:
        assert isinstance(backbone, TextBackbone)
        return AmongWords(self.count, backbone.word_width, dropout=self.prompt_dropout)

    def recipe(self, pretraining: Pretraining) -> Recipe:
        return Recipe(lr=0.3, weight_decay=1e-5, warmup=0, min_lr=0.3)


RECORD = Record(
    name="prompt-tuning",
    paper="prompttuning2021",
    idea="Prompts among the words of a text, which a frozen language model answers with a class's words.",
    entry="PromptTuning",
)
