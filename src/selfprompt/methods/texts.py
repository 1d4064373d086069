"""What methods of texts share."""

from __future__ import annotations

from abc import ABC
from collections.abc import Sequence
from typing import ClassVar, Literal

from selfprompt.errors import UserError
from selfprompt.methods.base import PromptMethod
from selfprompt.methods.fields import TextFields


class TextMethod(PromptMethod, TextFields, ABC):
    """A method for texts alone, which answers with label words or with a linear head."""

    texts: ClassVar[bool] = True

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
