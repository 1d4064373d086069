"""Context optimisation."""

from __future__ import annotations

from abc import ABC
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from selfprompt.backbones.base import Backbone
from selfprompt.backbones.info import Pretraining
from selfprompt.backbones.open_clip import imagenet_names, imagenet_templates
from selfprompt.errors import UserError
from selfprompt.files import read_names
from selfprompt.methods.base import Method, PromptMethod, Role
from selfprompt.methods.recipe import Recipe
from selfprompt.methods.vpt import VPT
from selfprompt.objectives.base import Penalty
from selfprompt.objectives.novel_features import NovelFeatures
from selfprompt.prompts.initialization.base import Initialization
from selfprompt.prompts.initialization.normal import Normal
from selfprompt.prompts.initialization.words import FromWords
from selfprompt.prompts.insertion.base import Insertion
from selfprompt.prompts.insertion.words import AmongWords
from selfprompt.registry import Record


class ContextMethod(PromptMethod, ABC):
    """A method whose prompts are the words around a class's name.

    Args:
        words: Start from the embeddings of these words, ``num_prompts`` of them; left open, from ``N(0, 0.02^2)``.
        place: Where the name stands: at the end, in the middle of the context, or in front of it.
        ending: What the text ends with: a full stop, as published; nothing for towers that never saw one.
    """

    paper_start: ClassVar[Initialization] = Normal()
    prompted: ClassVar[frozenset[Role]] = frozenset({"classes"})
    packaged: ClassVar[str] = "builtin-clip"
    rates: ClassVar[Mapping[str, float]] = {"embedded-clip": 2e-2, "mini-clip": 6e-2}
    words: str | None = None
    place: Literal["end", "middle", "front"] = "end"
    ending: str = "."

    @model_validator(mode="after")
    def check_kept(self) -> ContextMethod:
        """Refuse condensation, which weighs tokens of the input."""
        if self.keep < 1 and not self.part("inputs"):
            raise UserError("Prompts among words are not condensed: leave keep out.")
        return self

    @property
    def count(self) -> int:
        return self.num_prompts or (len(self.words.split()) if self.words else 16)

    def head(self) -> Literal["class_text"]:
        return "class_text"

    def patterns(self) -> tuple[str, ...]:
        half = self.count // 2
        placed = {
            "end": f"{{soft:{self.count}}} {{}}",
            "middle": f"{{soft:{half}}} {{}} {{soft:{self.count - half}}}",
            "front": f"{{}} {{soft:{self.count}}}",
        }
        return (placed[self.place] + self.ending,)

    def own_start(self) -> Initialization:
        return self.paper_start if self.words is None else FromWords(self.words)

    def insertion(self, backbone: Backbone) -> Insertion:
        return AmongWords(self.count, backbone.width, dropout=self.prompt_dropout)


class CoOp(ContextMethod):
    """Zhou et al., "Learning to Prompt for Vision-Language Models", IJCV 2022, arXiv 2109.01134.

    The words around a class's name in CLIP's text are trained: ``[start] v_1 .. v_M name . [end]``, with the
    cross-entropy of a few labelled images; both towers and the scale are frozen. The recipe is the official code's
    for 8 or 16 shots: SGD at 0.002 with a batch of 32 over 200 epochs, cosine, weight decay 5e-4; with ``--shots`` 2
    to 7 it is 100 epochs and with 1 it is 50 (50 on ImageNet always, which is left to ``--epochs``).

    Differences: the context is float32 (the official one is trained in float16 by default); the rate rises over the
    first epoch, where the official one stands at 1e-5; the rate belongs to CLIP's scale of 100, and a backbone with
    another wants another. By default images are not augmented here, so that their features are computed once.

    Args:
        per_class: Each class has a context of its own, which then says nothing of other classes.
        nfl_names: Names of further classes, whose texts are kept near CLIP's own (see `NovelFeatures`): a list, or a
            file with one a line; ``imagenet`` for 100 of ImageNet's, or ``new`` for those that a run does not train
            on, the very new classes of its test. Published with either.
        nfl_weight: Lambda of that; left open, 1, as published.
        image_prompts: Prompts at every block of the images' tower besides, trained together (deep prompts on both
            sides, as Khattak et al., arXiv 2210.03117, ask; their text prompts are deep, too). They start as VPT's,
            or as ``prototypes`` of the images' tokens.
    """

    name: ClassVar[str] = "coop"
    per_class: bool = False
    nfl_names: Literal["imagenet", "new"] | tuple[str, ...] = ()
    nfl_weight: float | None = Field(default=None, ge=0)
    image_prompts: int | None = Field(default=None, ge=1)

    @field_validator("nfl_names", mode="before")
    @classmethod
    def read_names(cls, value: Any) -> Any:
        """Names out of a file, where one is given."""
        if not isinstance(value, str) or value in ("imagenet", "new"):
            return value
        if not Path(value).is_file():
            raise UserError(f"There is no file {value}: give nfl_names a list, or a file with one name a line.")
        return read_names(Path(value), "give one that is")

    @model_validator(mode="after")
    def check_names(self) -> CoOp:
        """Refuse a weight without names, and names for contexts that say nothing of them."""
        if self.nfl_weight is not None and not self.nfl_names:
            raise UserError("nfl_weight needs names of further classes: give nfl_names, a list or a file.")
        if self.nfl_names and self.per_class:
            raise UserError("Contexts of each class say nothing of further names: leave nfl_names or per_class out.")
        if self.prototypes and not self.image_prompts:
            raise UserError("Words do not start as prototypes of images' tokens: give image_prompts, too.")
        return self

    def part(self, role: Role) -> Method | None:
        if role == "inputs" and self.image_prompts:
            return VPT(num_prompts=self.image_prompts, prototypes=self.prototypes, prompt_dropout=self.prompt_dropout)
        return super().part(role)

    def initialization(self) -> Initialization:
        return self.rescaled(self.own_start())  # of words; prototypes are the images'

    def for_names(self, names: Sequence[str], further: Sequence[str] = ()) -> CoOp:
        if isinstance(self.nfl_names, tuple) and self.nfl_names and set(self.nfl_names) <= set(names):
            raise UserError("nfl_names takes further classes, and all of these are trained on: give others.")
        if self.nfl_names != "new" or not names:
            return self
        if not further:
            raise UserError(
                "nfl_names=new asks for classes that are not trained on, and there are none: use --classes base."
            )
        return self.model_copy(update={"nfl_names": tuple(further)})

    def text_insertion(self, backbone: Backbone, classes: int) -> Insertion:
        count = classes if self.per_class else 1
        return AmongWords(self.count, backbone.width, classes=count, dropout=self.prompt_dropout)

    def penalties(self) -> tuple[Penalty, ...]:
        if not self.nfl_names:
            return ()
        weight = 1.0 if self.nfl_weight is None else self.nfl_weight
        names = imagenet_names()[:100] if isinstance(self.nfl_names, str) else self.nfl_names
        ended = (text.removesuffix(".") + self.ending for text in imagenet_templates())
        texts = dict.fromkeys((*ended, *self.template.split("|")))
        return (NovelFeatures(names, weight, tuple(texts)),)

    def few_shot(self, shots: int) -> dict[str, Any]:
        epochs = 50 if shots == 1 else 100 if shots < 8 else 200
        return {"epochs": epochs, "warmup": 1 / epochs}

    def recipe(self, pretraining: Pretraining) -> Recipe:
        return Recipe(optimizer="sgd", lr=2e-3, batch_size=32, epochs=200, warmup=1 / 200, weight_decay=5e-4)


RECORD = Record(
    name="coop",
    paper="coop2022",
    idea="The words around a class's name are trained, and both of CLIP's towers stay as they are.",
    entry="CoOp",
)
