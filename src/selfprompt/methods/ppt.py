"""Pre-trained prompt tuning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import model_validator

from selfprompt.backbones.info import Pretraining
from selfprompt.marks import optional
from selfprompt.methods.recipe import Recipe
from selfprompt.methods.texts import OPTIONS, WordPrompts
from selfprompt.prompts.initialization.vocabulary import Start
from selfprompt.registry import Record

Format = Literal["single", "pairs", "choice"]
PATTERNS: dict[str, str] = {
    "single": "{soft} {text} {mask}",
    "pairs": "{soft} {text} {mask} {text2}",
    "choice": f"{{soft}} {{text}} ? {OPTIONS} ? The correct one is {{mask}}",
}


class PPT(WordPrompts):
    """Gu et al., "PPT: Pre-trained Prompt Tuning for Few-shot Learning", ACL 2022, arXiv 2109.04332.

    Prompts among the words are first trained on tasks made out of raw text, in the format of those to come, and then
    tuned on few examples. ``--first pairs:CORPUS`` does both in one run (see `selfprompt.data.tasks.load_task`); or a
    run without ``start`` trains them, and others ``start`` from it. In the format ``choice`` the classes are options,
    and one prompt serves all tasks (unified PPT). Without a first training, and with one on ``#labels=shuffled``, it
    is its own control.

    Both recipes are the official code's. Of the first training: 0.1, batch 64, weight decay 0.01, gradients clipped
    to 1. Of the second: 50 epochs, batch 8, 0.01 (what most tasks had), constant, the same decay and clipping.
    Differences: the first rate falls along a cosine, not as one over the root of the steps, over 10 epochs in the
    place of 200,000 steps on 10 GB; it starts from words of the vocabulary, not from one unknown word's embedding
    repeated; the loss is over label words alone (see `LabelWords`).

    Args:
        format: Of the text: single, pairs (with the answer between both), or choice; it gives the template that is
            left open.
    """

    name: ClassVar[str] = "ppt"
    rates: ClassVar[Mapping[str, float]] = {"mini-text": 3e-2}
    start_from: Start = "vocabulary"
    format: Format = "single"

    @model_validator(mode="before")
    @classmethod
    def fill_template(cls, given: Any) -> Any:
        """The format's template, where there is none."""
        if isinstance(given, dict) and given.get("format") in PATTERNS:
            return {"template": PATTERNS[given["format"]], **given}
        return given

    @optional
    def first_recipe(self) -> Recipe:
        """Of the first training."""
        return Recipe(epochs=10, batch_size=64, lr=0.1, weight_decay=0.01, warmup=0, clip_grad=1)

    def first_data(self) -> str:
        return f"{self.format}:wordnet-mini"

    def recipe(self, pretraining: Pretraining) -> Recipe:
        if self.start is None:
            return self.first_recipe()
        return Recipe(epochs=50, batch_size=8, lr=0.01, min_lr=0.01, weight_decay=0.01, warmup=0, clip_grad=1)


RECORD = Record(
    name="ppt",
    paper="ppt2022",
    idea="Prompts are trained on tasks made out of raw text, and then tuned on few examples.",
    entry="PPT",
)
