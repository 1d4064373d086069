"""A mark on methods of abstract classes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

F = TypeVar("F", bound=Callable)


def optional(step: F) -> F:
    """A step that an answer may leave out: the one kind of method with a body that may be overridden, and once.

    Every other method of the library is abstract or final (a test holds it).
    """
    step.__optional__ = True  # type: ignore[attr-defined]
    return step
