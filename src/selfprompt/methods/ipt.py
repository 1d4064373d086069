"""Instance-wise prompt tuning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from selfprompt.backbones.info import Pretraining
from selfprompt.methods.recipe import Recipe
from selfprompt.methods.texts import WordPrompts
from selfprompt.prompts.initialization.vocabulary import Start
from selfprompt.registry import Record


class IPT(WordPrompts):
    """Jiang et al., "Instance-wise Prompt Tuning for Pretrained Language Models", 2022, arXiv 2206.01958.

    Prompts among the words, shifted for each text by what it says: by a bottleneck on the mean of its words'
    embeddings, or by a table of its words (see `Bottleneck` and `Table`), under a linear head. Both start as shared
    prompts. The paper's other form, keys and values whose first block reads the text, is ``prefix:instance=table``.

    The recipe is that of the official RTE run with RoBERTa-large, whose batch is 2 times 32. Differences: the head
    is trained, and reads the mean of the text's words, where the official code's is random, frozen and not saved,
    and reads the first prompt (a weak baseline, which flatters whatever is trained beside it); generators and table
    are added to shared prompts, and start at 0; the rate falls along a cosine, not linearly; no table is pretrained.
    """

    name: ClassVar[str] = "ipt"
    rates: ClassVar[Mapping[str, float]] = {"mini-text": 3e-2}
    template: str = "{soft} {text}"
    answers: Literal["words", "linear"] = "linear"
    start_from: Start = "random"
    instance: Literal["table", "bottleneck"] | None = "bottleneck"

    def recipe(self, pretraining: Pretraining) -> Recipe:
        return Recipe(lr=0.03, batch_size=64, weight_decay=0, head_weight_decay=0, warmup=0.01, min_lr=0, clip_grad=1)


RECORD = Record(
    name="ipt",
    paper="ipt2022",
    idea="Prompts among the words of a text, shifted for each text by what it says.",
    entry="IPT",
)
