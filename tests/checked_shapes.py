"""Shapes are checked as annotations name them, in the rooms where tensors meet; imported before the library is."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import jaxtyping
import torch

ROOMS = ("tower", "heads", "objectives", "prompts", *(f"backbones.{name}" for name in ("base", "stepwise", "vit")))
CHECK = jaxtyping.jaxtyped


def names_shapes(made: Any) -> bool:
    """Whether a function or a dataclass has annotations with shapes."""
    hints = map(str, getattr(made, "__annotations__", {}).values())
    return any("[Tensor" in hint or "KeysValues" in hint for hint in hints)


def unless_traced(*, typechecker: Any) -> Callable[[Any], Any]:
    """jaxtyping's check of what names shapes; local functions would be compiled anew at every call."""

    def decorate(made: Any) -> Any:
        if torch.compiler.is_compiling() or "<locals>" in getattr(made, "__qualname__", "") or not names_shapes(made):
            return made
        if not inspect.isclass(made):
            return CHECK(made, typechecker=typechecker)
        plain = made.__init__
        made = CHECK(made, typechecker=typechecker)
        fields = made.__init__
        if fields is not plain:  # a dataclass

            @functools.wraps(plain)
            def init(self: Any, *args: Any, **kwargs: Any) -> None:
                if torch.compiler.is_compiling():
                    plain(self, *args, **kwargs)
                else:
                    fields(self, *args, **kwargs)

            made.__init__ = init
        return made

    return decorate


class Config(type(jaxtyping.config)):
    """Nothing is checked while torch traces a graph, of which the check's own code is no part."""

    jaxtyping_disable = property(lambda self: torch.compiler.is_compiling(), lambda self, value: None)


jaxtyping.config.__class__ = Config
jaxtyping.jaxtyped = unless_traced
jaxtyping.install_import_hook([f"selfprompt.{room}" for room in ROOMS], "beartype.beartype")
