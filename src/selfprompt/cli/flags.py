"""Flags made from the models whose fields they set; None leaves a field at its default."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import docstring_parser
from cyclopts import Parameter
from docstring_parser import DocstringStyle
from pydantic import BaseModel, ConfigDict, create_model

from selfprompt.data.columns import Columns
from selfprompt.data.protocol import ImageSettings, Selection, Split, TextSettings
from selfprompt.methods.fields import TextFields, TokenFields
from selfprompt.methods.recipe import Recipe
from selfprompt.serving.settings import Settings

AS_ONE_WORD = ("label_words",)
"""Fields that read what they hold out of one text."""


def flags(group: str, *models: type[BaseModel], without: Sequence[str] = ()) -> Any:
    """A parameter of a command: the fields of models as flags.

    Args:
        group: Its heading in the help.
        models: Whose fields, and whose docstrings' words.
        without: Fields that are no flags.
    """
    fields: dict[str, Any] = {}
    for model in models:
        words = help_of(model)
        for name, field in model.model_fields.items():
            if name not in without:
                one_word = name in AS_ONE_WORD
                marks = (*(() if one_word else field.metadata), Parameter(help=words[name]))
                kind = str if one_word else field.annotation
                fields[name] = Annotated[(kind | None, *marks)], None  # type: ignore[operator]
    made = create_model(group, __config__=ConfigDict(extra="forbid", allow_inf_nan=False, defer_build=True), **fields)
    return Annotated[made | None, Parameter(name="*", group=group)]


def help_of(model: type[BaseModel]) -> dict[str, str]:
    """Each field's words in the docstrings of a model and of those that it extends, as plain text."""
    found: dict[str, str] = {}
    for base in reversed(model.__mro__):
        for part in docstring_parser.parse(base.__doc__ or "", DocstringStyle.GOOGLE).params:
            text = " ".join((part.description or "").split()).replace("`", "")
            found |= dict.fromkeys((name.strip() for name in part.arg_name.split(",")), text)
    return found


if TYPE_CHECKING:
    MethodFlags = RecipeFlags = ProtocolFlags = SearchProtocolFlags = ColumnFlags = ServerFlags = BaseModel | None
else:
    MethodFlags = flags("Method", TokenFields, TextFields)
    RecipeFlags = flags("Recipe", Recipe)
    SETTINGS = (ImageSettings, TextSettings, Split, Selection)
    NO_FLAGS = ("image_size", "mean", "std", "value_range")  # of the backbone
    ProtocolFlags = flags("Protocol", *SETTINGS, without=(*NO_FLAGS, "final"))  # of one run
    SearchProtocolFlags = flags("Protocol", *SETTINGS, without=NO_FLAGS)
    ColumnFlags = flags("Columns of a table", Columns)
    ServerFlags = flags("Server", Settings)


def given(flags: BaseModel | None) -> dict[str, Any]:
    """The flags that the user gave."""
    return {} if flags is None else flags.model_dump(exclude_none=True)
