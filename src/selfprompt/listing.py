"""What there is, as lists of names."""

from __future__ import annotations

from selfprompt import registry
from selfprompt.backbones import timm_hub
from selfprompt.data import sources


def list_methods() -> list[str]:
    """Names of the methods."""
    return registry.names("method")


def list_backbones() -> list[str]:
    """Names of the backbones: the packaged ones, then timm's plain VisionTransformers with pretrained weights."""
    return registry.names("backbone") + timm_hub.list_names()


def list_datasets() -> list[str]:
    """Names of the data sets; folders and ``hf:NAME`` come beside them."""
    return sources.names()
