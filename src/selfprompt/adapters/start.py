"""An adapter's prompts as a start for others."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from selfprompt.adapters.format import find_adapter, read_adapter
from selfprompt.backbones.base import Backbone
from selfprompt.errors import UserError
from selfprompt.inputs import Inputs
from selfprompt.methods import from_description
from selfprompt.methods.base import Role
from selfprompt.prompts.initialization.base import Initialization, Prompts
from selfprompt.prompts.insertion.prompted import PromptInsertion
from selfprompt.prompts.insertion.words import AmongWords


@dataclass(frozen=True)
class Stored(Initialization):
    """Prompts as an adapter holds them.

    Args:
        values: (layers, P, D).
    """

    values: Tensor
    needs_data = False

    def prepare(
        self, backbone: Backbone, batches: Iterable[Inputs], layers: int, num_prompts: int, seed: int
    ) -> Prompts:
        return Prompts(self.values)


@torch.no_grad()
def stored(
    adapter: str | os.PathLike[str],
    insertion: PromptInsertion,
    backbone: Backbone,
    *,
    known: str,
    role: Role,
    kind: str,
    classes: int,
    names: Sequence[str] | None = None,
) -> Stored:
    """The start that an adapter is; what its insertion holds beside prompts is taken into this one at once.

    Args:
        adapter: See `find_adapter`.
        insertion: Whose prompts start there.
        backbone: The transformer that they meet.
        known: The fingerprint of what the model is built on.
        role, kind: Which tower that is, and the name of it in adapters.
        classes, names: How many classes there are, and their names.

    Raises:
        UserError: The adapter is of another backbone, has no prompts there or condensed ones, or its prompts are of
            another insertion, number or parametrization, or each of a class, and these are others; nothing is
            broadcast.
    """
    config, state = read_adapter(find_adapter(adapter))
    if config.backbone.hash != known:
        raise UserError(
            f"The prompts of {adapter} are of {config.backbone.name} with weights {config.backbone.hash[:12]}, and "
            f"these are of {backbone.info.name} with {known[:12]}: start from prompts of the same backbone."
        )
    start = f"towers.{kind}.insertion."
    held = {name.removeprefix(start): value for name, value in state.items() if name.startswith(start)}
    name, part = config.method["name"], from_description(config.method).part(role)
    if part is None or "prompts" not in held:
        raise UserError(f"{adapter} holds no prompts of {kind}s ({name}): start from prompts of this method's kind.")
    if "counts" in held:
        raise UserError(f"The prompts of {adapter} are condensed: start from some that are all there.")
    other = part.insertion(backbone) if role == "inputs" else part.text_insertion(backbone, classes)
    own = insertion.parametrization
    if type(other) is not type(insertion):
        wrong = f"are inserted in another way ({name}, {type(other).__name__}, not {type(insertion).__name__})"
        raise UserError(f"The prompts of {adapter} {wrong}: start from prompts of this method's kind.")
    if held["prompts"].shape != insertion.prompts.shape:
        there, here = tuple(held["prompts"].shape), tuple(insertion.prompts.shape)
        raise UserError(
            f"The prompts of {adapter} have the shape {there}, and {here} is wanted: use as many "
            f"(--num-prompts {there[1]}), and the same backbone."
        )
    if isinstance(insertion, AmongWords) and insertion.per_class and config.class_names != names:
        raise UserError(
            f"{adapter} has prompts of each class, and its classes are others, or in another order: start from "
            f"prompts that classes share."
        )
    made = other.parametrization  # type: ignore[union-attr]
    if type(made) is not type(own) and (made is not None or own is None or own.reads == "nothing"):
        raise UserError(f"The prompts of {adapter} are made of other numbers ({name}): start from the same method's.")
    mine = insertion.state_dict()
    for key, value in held.items():
        if key != "prompts" and key in mine:
            if mine[key].shape != value.shape:
                raise UserError(f"The {key} of {adapter} is of another shape: start with the same fields of {name}.")
            mine[key].copy_(value)
    return Stored(held["prompts"])
