"""What methods of texts share."""

from __future__ import annotations

from abc import ABC
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator

from selfprompt.errors import UserError
from selfprompt.methods.base import PromptMethod


class TextMethod(PromptMethod, ABC):
    """A method for texts alone, which answers with label words or with a linear head.

    Args:
        template: What a text is filled into, such as "{soft} {mask} : {text}" (see `Template`).
        answers: words are label words where the template has its mask; linear is a linear head on the mean of the
            text's words.
        label_words: The words of each class, a mapping, or "great|good, terrible|bad" in the order of the classes;
            left open, the classes' names.
        calibrate: Subtract from label words what a text that says nothing is answered with.
    """

    texts: ClassVar[bool] = True
    packaged: ClassVar[str] = "builtin-text"
    answers: Literal["words", "linear"] = "words"
    label_words: dict[str, tuple[str, ...]] | tuple[tuple[str, ...], ...] | None = Field(
        default=None, union_mode="left_to_right"
    )
    calibrate: bool = False

    @field_validator("label_words", mode="before")
    @classmethod
    def read_words(cls, value: Any) -> Any:
        """Words out of one string."""
        if isinstance(value, str):
            return tuple(tuple(word.strip() for word in words.split("|")) for words in value.split(","))
        if isinstance(value, dict):
            return {name: (words,) if isinstance(words, str) else words for name, words in value.items()}
        return value

    def head(self) -> Literal["linear", "label_words"]:
        return "linear" if self.answers == "linear" else "label_words"

    def for_names(self, names: Sequence[str]) -> TextMethod:
        words = self.label_words
        if words is None:
            words = {name: (name.replace("_", " "),) for name in names}
        elif not isinstance(words, dict):
            if len(words) != len(names):
                raise UserError(
                    f"Label words are given for {len(words)} of {len(names)} classes: give some for each."
                )
            words = dict(zip(names, words))
        return self.model_copy(update={"label_words": words})
