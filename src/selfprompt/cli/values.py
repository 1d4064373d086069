"""Values of flags that cyclopts does not know, or would change: it rounds 1.7 to 2, and takes none for no value."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Literal

from cyclopts import Parameter, Token

from selfprompt import adaptations
from selfprompt.errors import UserError
from selfprompt.scores.asked import AUTO, precision_in


def whole_number(least: int, most: float = math.inf) -> Parameter:
    """A flag's value as a whole number within bounds, both included; read without pydantic, which takes its time."""

    def read(kind: Any, tokens: Sequence[Token]) -> int:
        flag, text = tokens[0].keyword, tokens[0].value
        try:
            value = int(text)
        except ValueError:
            raise UserError(f"{flag} {text} is not valid: give a whole number.") from None
        if not least <= value <= most:
            bounds = f"{least} or more" if most == math.inf else f"{least} to {most}"
            raise UserError(f"{flag} {text} is out of range: give {bounds}.")
        return value

    return Parameter(converter=read)


def top(kind: Any, tokens: Sequence[Token]) -> int:
    """A number of classes; all of them are 0."""
    if tokens[0].value == "all":
        return 0
    try:
        if (count := int(tokens[0].value)) > 0:
            return count
    except ValueError:
        pass
    raise UserError(f"--top-k {tokens[0].value} is not valid: give a whole number from 1, or all.")


def least(kind: Any, tokens: Sequence[Token]) -> float | str:
    """A probability; or ``auto``, alone or with a precision."""
    text = tokens[0].value
    try:
        if text.startswith(AUTO):
            precision_in(text)
            return text
        if 0 <= (value := float(text)) <= 1:
            return value
    except ValueError:
        pass
    give = "give a probability from 0 to 1, or auto:PRECISION, such as auto:0.95"
    raise UserError(f"{tokens[0].keyword} {text} is not valid: {give}.")


def duration(kind: Any, tokens: Sequence[Token]) -> float:
    """A time in seconds, minutes or hours, as seconds."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(s|m|h)", tokens[0].value)
    if not found or not float(found[1]):
        raise UserError(f"{tokens[0].keyword} {tokens[0].value} is not valid: give a time, such as 90s, 10m or 1h.")
    return float(found[1]) * {"s": 1, "m": 60, "h": 3600}[found[2]]


def adaptation(kind: Any, tokens: Sequence[Token]) -> str:
    """An adaptation as it stands there, if there is one of the name."""
    adaptations.known(tokens[0].value)
    return tokens[0].value


Adapt = Annotated[str | None, Parameter(converter=adaptation)]
TopK = Annotated[int | None, Parameter(converter=top)]
Threshold = Annotated[float | str | None, Parameter(converter=least)]
Duration = Annotated[float | None, Parameter(converter=duration)]
Count = Annotated[int, whole_number(1)]
Whole = Annotated[int, whole_number(0)]
Seed = Annotated[int, whole_number(0, 2**32 - 2)]


def one_of(names: Iterable[str]) -> Any:
    """The type of a flag that is one of some names, or left out."""
    return Annotated[Literal[tuple(names)] | None, Parameter(converter=lambda kind, tokens: tokens[0].value)]
