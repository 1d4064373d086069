"""Prompt tuning of language models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from selfprompt.backbones.info import Pretraining
from selfprompt.methods.recipe import Recipe
from selfprompt.methods.texts import WordPrompts
from selfprompt.registry import Record


class PromptTuning(WordPrompts):
    """Lester et al., "The Power of Scale for Parameter-Efficient Prompt Tuning", EMNLP 2021, arXiv 2104.08691.

    ``[P ; X]``: prompts among the words of a frozen language model, which answers with a class's words. They may
    stand anywhere in a template; published, before the text, 100 of them, started from the classes' words.

    The recipe's rate of 0.3 at batch 32, constant, with a weight decay of 1e-5, is the paper's. Differences: it
    trains T5 with Adafactor over 30,000 steps, where AdamW here trains 100 epochs; the loss is over label words alone
    (see `LabelWords`), where the paper's is the language model's.
    """

    name: ClassVar[str] = "prompt-tuning"
    rates: ClassVar[Mapping[str, float]] = {"embedded-text": 3e-2, "mini-text": 3e-2}

    def recipe(self, pretraining: Pretraining) -> Recipe:
        return Recipe(lr=0.3, weight_decay=1e-5, warmup=0, min_lr=0.3)


RECORD = Record(
    name="prompt-tuning",
    paper="prompttuning2021",
    idea="Prompts among the words of a text, which a frozen language model answers with a class's words.",
    entry="PromptTuning",
)
