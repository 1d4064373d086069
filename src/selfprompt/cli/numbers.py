"""Whole numbers among the flags."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from cyclopts import Parameter, Token
from pydantic import Field, TypeAdapter


def whole(kind: Any, tokens: Sequence[Token]) -> int:
    """A whole number as it stands there; nothing is rounded."""
    return TypeAdapter(int).validate_python(tokens[0].value)


Count = Annotated[int, Field(ge=1), Parameter(converter=whole)]
Seed = Annotated[int, Field(ge=0, lt=2**32 - 1), Parameter(converter=whole)]
