"""Zero-shot classification by hand-written texts."""

from __future__ import annotations

from typing import ClassVar, Literal

from selfprompt.backbones.info import Pretraining
from selfprompt.methods.base import Trainable, WithoutPrompts
from selfprompt.methods.recipe import Recipe
from selfprompt.methods.stages import Stage
from selfprompt.registry import Record


class ZeroShot(WithoutPrompts):
    """Radford et al., "Learning Transferable Visual Models From Natural Language Supervision", arXiv 2103.00020.

    Each class is a text, or the mean of several; an image is of the class whose text is nearest. Nothing is trained.
    """

    name: ClassVar[str] = "zeroshot"
    packaged: ClassVar[str] = "builtin-clip"

    def head(self) -> Literal["class_text"]:
        return "class_text"

    def trainable(self) -> Trainable:
        return "head"

    def recipe(self, pretraining: Pretraining) -> Recipe:
        return Recipe()

    def stages(self, recipe: Recipe) -> tuple[Stage, ...]:
        return ()


RECORD = Record(
    name="zeroshot",
    paper="clip2021",
    idea="Nothing is trained: an image is of the class whose text is nearest.",
    entry="ZeroShot",
)
