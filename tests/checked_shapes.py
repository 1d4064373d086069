"""Shapes are checked as annotations name them, in the rooms where tensors meet; imported before the library is."""

from __future__ import annotations

import jaxtyping
import torch

ROOMS = ("tower", "heads", "objectives", "prompts", *(f"backbones.{name}" for name in ("base", "stepwise", "vit")))


class Config(type(jaxtyping.config)):
    """Nothing is checked while torch traces a graph, of which the check's own code is no part."""

    jaxtyping_disable = property(lambda self: torch.compiler.is_compiling(), lambda self, value: None)


jaxtyping.config.__class__ = Config
jaxtyping.install_import_hook([f"selfprompt.{room}" for room in ROOMS], "beartype.beartype")
