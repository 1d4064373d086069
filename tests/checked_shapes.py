"""Shapes are checked as annotations name them, in the rooms where tensors meet; imported before the library is."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable
from typing import Any

import jaxtyping
import torch

ROOMS = (
    "tower",
    "heads",
    "objectives",
    "prompts",
    *(f"backbones.{name}" for name in ("base", "stepwise", "timm_blocks", "vit", "clip")),
)
jaxtyped = jaxtyping.jaxtyped


def shapes_alone(*, typechecker: Any) -> Callable[[Any], Any]:
    """A check of the annotations that name shapes; what else is wrong the library says itself, as a `UserError`."""

    def check(function: Any) -> Any:
        hints = function.__annotations__
        shapes = {name: hint for name, hint in hints.items() if "[Tensor" in str(hint) or "KeysValues" in str(hint)}
        if not shapes:
            return function
        function.__annotations__ = shapes
        checked = jaxtyped(function, typechecker=typechecker)
        function.__annotations__ = checked.__annotations__ = hints
        return checked

    def decorate(made: Any) -> Any:
        if torch.compiler.is_compiling() or "<locals>" in getattr(made, "__qualname__", ""):
            return made  # a local function would be compiled anew at every call
        if inspect.isfunction(made):
            return check(made)
        if dataclasses.is_dataclass(made):
            plain: Any = made.__init__
            checked = check(plain)

            @functools.wraps(plain)
            def init(self: Any, *args: Any, **kwargs: Any) -> None:
                if torch.compiler.is_compiling():
                    plain(self, *args, **kwargs)
                else:
                    checked(self, *args, **kwargs)

            made.__init__ = init
        return made

    return decorate


class Config(jaxtyping._config._JaxtypingConfig):
    """Nothing is checked while torch traces a graph, of which the check's own code is no part."""

    jaxtyping_disable = property(lambda self: torch.compiler.is_compiling(), lambda self, value: None)


jaxtyping.config.__class__ = Config
jaxtyping.jaxtyped = shapes_alone
jaxtyping.install_import_hook([f"selfprompt.{room}" for room in ROOMS], "beartype.beartype")
