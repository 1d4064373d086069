"""Errors that are the user's to mend, each one sentence that names the thing and the fix."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """Wrong input. The message names the file, flag or name at fault and says what to do; exit status 2."""


class Diverged(UserError):
    """A loss, weight or answer became NaN or infinite: the learning rate is too large.

    A search counts it as a trial.
    """


def first_line(error: BaseException) -> str:
    """The first line of what an error says, or its class where it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def unknown(kind: str, name: str, names: Iterable[str]) -> UserError:
    """The error for a ``name`` that no ``kind`` has, with the nearest names or the whole list."""
    names = sorted(names)
    near = difflib.get_close_matches(name, names, n=3)
    hint = f"did you mean {' or '.join(near)}?" if near else f"known are {', '.join(names)}."
    return UserError(f"There is no {kind} named {name!r}: {hint}")
