"""Errors that the user can fix, each one sentence that names the thing and the fix."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError


class UserError(Exception):
    """Wrong input. The message names the file, flag or name at fault and says what to do; exit status 2."""


class Diverged(UserError):
    """A loss, weight or answer became NaN or infinite: the learning rate is too large.

    A search counts it as a trial.
    """


class Unwritable(UserError):
    """The system did not let us write a file: no space, no right, no such place."""


def first_line(error: BaseException) -> str:
    """The first line of what an error says, or its class where it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def unknown(kind: str, name: str, names: Iterable[str]) -> UserError:
    """The error for a ``name`` that no ``kind`` has, with the names that begin with it, where they are five or fewer,
    or the nearest: all, where they are ten or fewer."""
    names, name = sorted(names), str(name)
    longer, few = [other for other in names if name and other.startswith(name)], names
    near = longer if 0 < len(longer) <= 5 else difflib.get_close_matches(name, names, n=3)
    if len(names) > 10:
        few = difflib.get_close_matches(name, names, n=10, cutoff=0.0)
    if near:
        hint = f"did you mean {' or '.join(near)}?"
    else:
        hint = f"{'known' if few is names else 'the nearest'} are {', '.join(few)}."
    return UserError(f"There is no {kind} named {name!r}: {hint}")


def none_readable(kind: str, errors: Sequence[object]) -> UserError:
    """The error for inputs of a ``kind`` of which none can be read."""
    many = f"None of {len(errors)} {kind}s can be read; the first: " if len(errors) > 1 else ""
    return UserError(f"{many}{errors[0]}")


def out_of_range(error: ValidationError, flag: str = "") -> UserError:
    """The error for flags that a model does not take.

    Args:
        error: What the model says.
        flag: The flag, where it is not the model's field.
    """
    first = error.errors()[0]
    if first["loc"]:
        flag = "--" + str(first["loc"][0]).replace("_", "-")
    bounds = first["type"].startswith(("greater_than", "less_than", "finite_number"))
    return UserError(f"{flag} {first['input']} {'is out of range' if bounds else 'is not valid'}: {first['msg']}.")
