"""Values of flags that cyclopts does not know, or would change: it rounds 1.7 to 2, and takes none for no value."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Literal

from cyclopts import Parameter, Token
from pydantic import Field, TypeAdapter

from selfprompt import adaptations


def whole(kind: Any, tokens: Sequence[Token]) -> int:
    """A whole number as it stands there."""
    return TypeAdapter(int).validate_python(tokens[0].value)


def adaptation(kind: Any, tokens: Sequence[Token]) -> str:
    """An adaptation as it stands there, if there is one of the name."""
    adaptations.known(tokens[0].value)
    return tokens[0].value


Adapt = Annotated[str | None, Parameter(converter=adaptation)]
Count = Annotated[int, Field(ge=1), Parameter(converter=whole)]
Seed = Annotated[int, Field(ge=0, lt=2**32 - 1), Parameter(converter=whole)]


def one_of(names: Iterable[str]) -> Any:
    """The type of a flag that is one of some names, or left out."""
    return Annotated[Literal[tuple(names)] | None, Parameter(converter=lambda kind, tokens: tokens[0].value)]
