"""Frozen transformers, seen as a stream of tokens; README.md says why the seam is where it is."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

from torch import nn

from selfprompt import registry
from selfprompt.backbones import timm_hub
from selfprompt.backbones.base import Backbone, private_copy
from selfprompt.backbones.checkpoints import load_file
from selfprompt.backbones.vit import ViT
from selfprompt.errors import UserError

WEIGHT_SUFFIXES = (".safetensors", ".pth", ".pt", ".bin", ".tar")


def load_backbone(source: str | os.PathLike[str] | nn.Module, image_size: int | None = None) -> Backbone:
    """Find a backbone by timm name, weights file, ``"builtin"``, or take a module.

    Args:
        source: What to load.
        image_size: Side of the input in pixels if not the backbone's own; positions are interpolated.

    Raises:
        UserError: There is no such backbone, it cannot be had, or it is of another class of model.
    """
    if isinstance(source, Backbone):
        return resized(source, image_size)
    if isinstance(source, nn.Module):
        return resized(timm_hub.wrap_module(private_copy(source)), image_size)
    name = os.fspath(source)
    if name in registry.modules("backbone"):
        backbone = registry.module("backbone", name).load()
        backbone.info = dataclasses.replace(backbone.info, name=name)
        return resized(backbone, image_size)
    if Path(name).exists() or name.endswith(WEIGHT_SUFFIXES):
        return resized(load_file(Path(name)), image_size)
    return timm_hub.load_timm(name, image_size)


def resized(backbone: Backbone, image_size: int | None) -> Backbone:
    """The backbone for another input size: patch positions interpolated as timm does it."""
    if image_size is None or image_size == backbone.info.image_size:
        return backbone
    if image_size % backbone.patch_size:
        raise UserError(f"--image-size {image_size} is no multiple of the patch size {backbone.patch_size}.")
    assert isinstance(backbone, ViT)
    backbone.vit.set_input_size(img_size=(image_size, image_size))
    return ViT(backbone.vit, dataclasses.replace(backbone.info, image_size=image_size, crop_fraction=1.0))
