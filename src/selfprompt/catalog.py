"""What there is: names and records, of all kinds."""

from __future__ import annotations

from selfprompt import adaptations, backbones, methods
from selfprompt.data import sources
from selfprompt.errors import unknown
from selfprompt.registry import Record


def list_methods() -> list[str]:
    """Names of the methods."""
    return list(methods.RECORDS)


def list_backbones() -> list[str]:
    """Names of the backbones: the packaged ones, then those of timm with pretrained weights."""
    from selfprompt.backbones import timm_hub  # it imports timm

    return [*backbones.RECORDS, *timm_hub.list_names()]


def list_datasets() -> list[str]:
    """Names of the data sets; folders and ``hf:NAME`` come beside them."""
    return sources.names()


def list_adaptations() -> list[str]:
    """Names of what can be done at test time."""
    return list(adaptations.RECORDS)


def describe(name: str) -> Record:
    """The record of a method, adaptation, data set or packaged backbone.

    Raises:
        UserError: No such name.
    """
    known = {**backbones.RECORDS, **sources.RECORDS, **adaptations.RECORDS, **methods.RECORDS}
    if name not in known:
        raise unknown("method, adaptation, data set or backbone", name, known)
    return known[name]
