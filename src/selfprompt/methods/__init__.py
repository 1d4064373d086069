"""One file per paper."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from torch import nn

from selfprompt import registry
from selfprompt.backbones import load_backbone
from selfprompt.data.protocol import Protocol
from selfprompt.errors import UserError
from selfprompt.methods.base import Method
from selfprompt.model import PromptedModel


def read_spec(spec: str) -> tuple[str, dict[str, str]]:
    """A method in one word, ``NAME`` or ``NAME:FIELD=VALUE:FIELD=VALUE``, as its name and fields.

    Raises:
        UserError: It is written otherwise.
    """
    name, *pairs = spec.strip().split(":")
    if any("=" not in pair for pair in pairs):
        raise UserError(f"{spec!r} is no method: write NAME, or NAME:FIELD=VALUE, such as spt:prompt_rms=0.1.")
    fields: dict[str, str] = {}
    for field, _, value in (pair.partition("=") for pair in pairs):
        if field in fields:
            raise UserError(f"{spec!r} has {field} twice: leave one out.")
        fields[field] = value
    return name, fields


def read_specs(methods: str | Sequence[str]) -> list[str]:
    """Methods as a list, given as one or with commas between."""
    return [spec.strip() for spec in (methods.split(",") if isinstance(methods, str) else methods)]


def make_method(method: str | Method, **fields: Any) -> Method:
    """A method by name with its fields, or a `Method` as it is.

    Raises:
        UserError: There is no such method, or a field is unknown or out of range.
    """
    if isinstance(method, Method):
        if fields:
            raise UserError(f"A Method object has its fields already: set {', '.join(fields)} in it.")
        return method
    return registry.build("method", {"name": method, **fields})


def create_model(
    backbone: str | os.PathLike[str] | nn.Module,
    method: str | Method = "spt",
    *,
    num_classes: int,
    image_size: int | None = None,
    protocol: Protocol | None = None,
    class_names: Sequence[str] | None = None,
    seed: int = 0,
    **fields: Any,
) -> PromptedModel:
    """A prompted model, its prompts not yet started (`PromptedModel.initialize`).

    Args:
        backbone: A timm name, a weights file, ``"builtin"``, or a timm module (which stays as it is).
        method: A name of `list_methods`, or a `Method`.
        num_classes: Outputs of the head.
        image_size: Side of the input in pixels, if not the backbone's own.
        protocol: What images it will see; by default as the backbone was evaluated.
        class_names: Names of the outputs.
        seed: Seed of the starts of the head and of what the method trains beside prompts.
        **fields: The method's fields, such as ``num_prompts``.

    Raises:
        UserError: The backbone or method is not to be had, a field is wrong, or the names are not one for each class.
    """
    names = None if class_names is None else list(class_names)
    if names is not None and (isinstance(class_names, str) or len(names) != num_classes):
        raise UserError(
            f"class_names is {class_names!r:.80}: give a list of {num_classes} names, one for each class."
        )
    if image_size is None and protocol:
        image_size = protocol.image_size
    found = load_backbone(backbone, image_size)
    return make_method(method, **fields).build(found, num_classes, protocol, names, seed)
