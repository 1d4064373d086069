"""What methods of texts share."""

from __future__ import annotations

import re
from abc import ABC
from collections.abc import Sequence
from string import ascii_uppercase
from typing import ClassVar, Literal

from pydantic import model_validator

from selfprompt.backbones.base import Backbone
from selfprompt.backbones.text import TextBackbone
from selfprompt.data.templates import TEXTS, Template
from selfprompt.errors import UserError
from selfprompt.methods.base import PromptMethod
from selfprompt.methods.fields import TextFields
from selfprompt.prompts.initialization.base import Initialization
from selfprompt.prompts.initialization.vocabulary import OfWords, Start
from selfprompt.prompts.insertion.base import Insertion
from selfprompt.prompts.insertion.words import AmongWords
from selfprompt.prompts.parametrization.base import Parametrization
from selfprompt.prompts.parametrization.instance import Bottleneck, Table

OPTIONS = "{options}"


class TextMethod(PromptMethod, TextFields, ABC):
    """A method for texts alone, which answers with label words or with a linear head."""

    texts: ClassVar[bool] = True
    packaged: ClassVar[str] = "builtin-text"

    @model_validator(mode="after")
    def check_instance(self) -> TextMethod:
        """Refuse what would take prompts from what they are made of, and letters beside other words."""
        if self.instance and self.keep < 1:
            raise UserError("Prompts that read their text are not condensed: leave keep out.")
        if OPTIONS in self.template and self.label_words is not None:
            raise UserError(f"Where a template has {OPTIONS}, letters are the label words: leave label_words out.")
        return self

    def head(self) -> Literal["linear", "label_words"]:
        return "linear" if self.answers == "linear" else "label_words"

    def trained_first(self) -> PromptMethod:
        return super().trained_first().model_copy(update={"label_words": None})  # the other data has other classes

    def for_names(self, names: Sequence[str], further: Sequence[str] = ()) -> TextMethod:
        if OPTIONS in self.template:
            return self._with_options(names)
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

    def _with_options(self, names: Sequence[str]) -> TextMethod:
        """The same, with the classes as options in its template."""
        letters = ascii_uppercase[: len(names)]
        if not 2 <= len(names) <= len(letters):
            raise UserError(
                f"A template with {OPTIONS} is for 2 to {len(ascii_uppercase)} classes with names, not {len(names)}: "
                f"write another."
            )
        own = "".join(names) == letters
        if own and len(names) >= len(TEXTS):
            raise UserError(f"A template takes {len(TEXTS) - 1} options that are texts, not {len(names)}: use fewer.")
        said = [f"{{{text}}}" for text in TEXTS[1:]] if own else [name.replace("_", " ") for name in names]
        options = " ".join(f"{letter}. {option}" for letter, option in zip(letters, said))
        words = {name: (letter,) for name, letter in zip(names, letters)}
        return self.model_copy(update={"template": self.template.replace(OPTIONS, options), "label_words": words})

    def parametrization(self, backbone: TextBackbone, width: int) -> Parametrization | None:
        """What makes the prompts of each text, of a width; None where all share the same."""
        if self.instance == "table":
            return Table(len(backbone.trunk.get_input_embeddings().weight), width)
        return Bottleneck(backbone.word_width, self.count, width) if self.instance else None


class WordPrompts(TextMethod, ABC):
    """A method whose prompts stand among the words of a template, wherever it has {soft}.

    Args:
        start_from: random numbers, words of the vocabulary, or the classes' label words.
    """

    template: str = "{soft} {text} {mask}"
    start_from: Start = "labels"

    @model_validator(mode="after")
    def check_template(self) -> WordPrompts:
        """Refuse a template without prompts, without a mask where words answer, or with another number of prompts."""
        template = Template(self.text_template().replace(OPTIONS, ""))
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
        return OfWords(kind, tuple(word for name in words for word in words[name]), self.answers == "linear")

    def insertion(self, backbone: Backbone) -> Insertion:
        assert isinstance(backbone, TextBackbone)
        width = backbone.word_width
        made = self.parametrization(backbone, width)
        return AmongWords(self.count, width, dropout=self.prompt_dropout, parametrization=made)
