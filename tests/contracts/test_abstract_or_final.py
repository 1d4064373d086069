"""A method of a class is abstract, marked optional, or final: nothing else is overridden, and nothing twice."""

from __future__ import annotations

import pkgutil
import sys
from importlib import import_module
from typing import Any

import selfprompt
from selfprompt.marks import optional


def classes() -> list[type]:
    for module in pkgutil.walk_packages(selfprompt.__path__, "selfprompt."):
        if not module.name.endswith("__main__"):
            import_module(module.name)
    modules = [module for name, module in sys.modules.items() if name.startswith("selfprompt.")]
    found = [value for module in modules for value in vars(module).values() if isinstance(value, type)]
    return [cls for cls in dict.fromkeys(found) if cls.__module__.startswith("selfprompt.")]


def function(value: Any) -> Any:
    return getattr(value, "fget", None) or getattr(value, "__func__", value)


def overridden(cls: type) -> list[str]:
    """What a class overrides, though it is neither abstract nor optional there."""
    wrong = []
    for name, value in vars(cls).items():
        if name.startswith("_") or not callable(function(value)):
            continue
        for base in cls.__mro__[1:]:
            own = vars(base).get(name)
            if own is None or not base.__module__.startswith("selfprompt."):
                continue
            known = function(own)
            free = getattr(known, "__isabstractmethod__", False) or getattr(known, "__optional__", False)
            if callable(known) and not free:
                wrong.append(f"{cls.__module__}.{cls.__qualname__}.{name} overrides {base.__qualname__}.{name}")
            break
    return wrong


def test_what_has_a_body_is_final_unless_it_says_so() -> None:
    wrong = [line for cls in classes() for line in overridden(cls)]
    assert not wrong, "\n".join(wrong)


def test_an_override_of_an_override_is_found() -> None:
    class Base:
        @optional
        def step(self) -> int:
            return 0

    class Once(Base):
        def step(self) -> int:
            return 1

    class Twice(Once):
        def step(self) -> int:
            return 2

    for cls in (Base, Once, Twice):
        cls.__module__ = "selfprompt.here"
    assert overridden(Once) == []
    assert len(overridden(Twice)) == 1
