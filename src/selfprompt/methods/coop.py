"""Context optimisation."""

from __future__ import annotations

from typing import ClassVar, Literal

from selfprompt.backbones.base import Backbone
from selfprompt.backbones.info import Pretraining
from selfprompt.methods.base import PromptMethod, Role
from selfprompt.methods.recipe import Recipe
from selfprompt.prompts.initialization.base import Initialization
from selfprompt.prompts.initialization.normal import Normal
from selfprompt.prompts.initialization.words import FromWords
from selfprompt.prompts.insertion.base import Insertion
from selfprompt.prompts.insertion.words import AmongWords
from selfprompt.registry import Record


class CoOp(PromptMethod):
    """Zhou et al., "Learning to Prompt for Vision-Language Models", IJCV 2022, arXiv 2109.01134.

    The words around a class's name in CLIP's text are trained: ``[start] v_1 .. v_M name . [end]``, with the
    cross-entropy of a few labelled images; both towers and the scale are frozen. The recipe is the official code's
    for 16 shots: SGD at 0.002 with a batch of 32 over 200 epochs, cosine, weight decay 5e-4.

    Differences: the context is float32 (the official one is trained in float16 by default); the rate rises over the
    first epoch, where the official one stands at 1e-5; the rate belongs to CLIP's scale of 100, and a backbone with
    another wants another. By default images are not augmented here, so that their features are computed once.

    Args:
        words: Start from the embeddings of these words, ``num_prompts`` of them; left open, from ``N(0, 0.02^2)``.
        place: Where the name stands: at the end, in the middle of the context, or in front of it.
        per_class: Each class has a context of its own, which then says nothing of other classes.
    """

    name: ClassVar[str] = "coop"
    start: ClassVar[Initialization] = Normal()
    prompted: ClassVar[frozenset[Role]] = frozenset({"classes"})
    words: str | None = None
    place: Literal["end", "middle", "front"] = "end"
    per_class: bool = False

    @property
    def count(self) -> int:
        return self.num_prompts or (len(self.words.split()) if self.words else 16)

    def head(self) -> Literal["class_text"]:
        return "class_text"

    def patterns(self) -> tuple[str, ...]:
        half = self.count // 2
        return (
            {
                "end": f"{{soft:{self.count}}} {{}}.",
                "middle": f"{{soft:{half}}} {{}} {{soft:{self.count - half}}}.",
                "front": f"{{}} {{soft:{self.count}}}.",
            }[self.place],
        )

    def own_start(self) -> Initialization:
        return self.start if self.words is None else FromWords(self.words)

    def insertion(self, backbone: Backbone) -> Insertion:
        return AmongWords(self.count, backbone.width, dropout=self.prompt_dropout)

    def text_insertion(self, backbone: Backbone, classes: int) -> Insertion:
        count = classes if self.per_class else 1
        return AmongWords(self.count, backbone.width, classes=count, dropout=self.prompt_dropout)

    def recipe(self, pretraining: Pretraining) -> Recipe:
        return Recipe(optimizer="sgd", lr=2e-3, batch_size=32, epochs=200, warmup=1 / 200, weight_decay=5e-4)


RECORD = Record(
    name="coop",
    paper="coop2022",
    idea="The words around a class's name are trained, and both of CLIP's towers stay as they are.",
    entry="CoOp",
)
