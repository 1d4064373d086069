"""A backbone by timm name, weights file or module."""

from __future__ import annotations

import dataclasses
import os
from functools import lru_cache, partial
from pathlib import Path
from typing import TypeAlias

import torch
from torch import nn

from selfprompt.backbones import RECORDS, timm_hub
from selfprompt.backbones.aliases import resolve
from selfprompt.backbones.base import Backbone
from selfprompt.backbones.checkpoints import load_file
from selfprompt.backbones.clip import DualEncoder
from selfprompt.backbones.info import BackboneInfo
from selfprompt.backbones.open_clip import PREFIX, load_open_clip
from selfprompt.backbones.text import PREFIX as TEXT
from selfprompt.backbones.text import TextBackbone, load_text
from selfprompt.backbones.timm_images import TimmImages, checked
from selfprompt.errors import UserError

BackboneSource: TypeAlias = str | os.PathLike[str] | nn.Module
"""A timm name, a packaged one, a weights file, or a module that the caller has."""

WEIGHT_SUFFIXES = (".safetensors", ".pth", ".pt", ".bin", ".tar")


def load_backbone(source: BackboneSource, image_size: int | None = None) -> Backbone | DualEncoder:
    """Find a backbone by timm name, ``open_clip:NAME/TAG``, ``text:NAME``, file or ``"builtin"``, or take a module.

    Names of the transformers library stand for those of the same weights (see `ALIASES`).

    Args:
        source: What to load.
        image_size: Side of the input in pixels if not the backbone's own; positions are interpolated.

    Raises:
        UserError: There is no such backbone, it cannot be had, or it is of another class of model.
    """
    if isinstance(source, Backbone):
        return resized(source, image_size)
    if isinstance(source, DualEncoder):
        return of_size(source, image_size)
    if isinstance(source, nn.Module) and hasattr(source, "get_input_embeddings"):
        raise UserError("A model of transformers needs its tokenizer: give backbones.text.wrap(model, tokenizer).")
    if isinstance(source, nn.Module) and hasattr(source, "encode_text"):
        raise UserError(
            "A model of open_clip needs its tokenizer: give it through "
            "backbones.open_clip.wrap(model, tokenizer, name, preprocess)."
        )
    if isinstance(source, nn.Module):
        return resized(checked(timm_hub.wrap_module(source)), image_size)
    name = resolve(os.fspath(source))
    if name in RECORDS:
        found = packaged(name)
        return of_size(found, image_size) if isinstance(found, DualEncoder) else resized(found, image_size)
    if name.startswith(PREFIX):
        name = PREFIX + anywhere(name.removeprefix(PREFIX))
        place = Path(name.removeprefix(PREFIX).partition("/")[2] or name)  # of NAME/FILE
        return of_size(from_open_clip(name, state_of(place, Path(name.removeprefix(PREFIX)))), image_size)
    if name.startswith(TEXT):
        name = TEXT + anywhere(name.removeprefix(TEXT))
        return resized(from_text(name, state_of(Path(name.removeprefix(TEXT)))), image_size)
    if is_file(name):
        file = Path(name).absolute()
        return resized(from_file(name, state_of(file, file.parent / "config.json")), image_size)
    return from_timm(name, image_size)


def info(source: str | os.PathLike[str] | nn.Module, image_size: int | None = None) -> BackboneInfo:
    """What is known of a backbone, from a file's names and shapes, or timm's or the hub's configuration.

    No weight is read (but those of a model with texts, kept for `load_backbone`): that they are there, and finite,
    shows when they are loaded.

    Args:
        source, image_size: Of `load_backbone`, whose ``info`` this is.

    Raises:
        UserError: There is no such backbone, or it is of another class of model.
    """
    if isinstance(source, nn.Module):
        return load_backbone(source, image_size).info
    name = resolve(os.fspath(source))
    if name.startswith((PREFIX, TEXT)) or (name in RECORDS and RECORDS[name].extra):
        return load_backbone(name, image_size).info
    if name not in RECORDS and not is_file(name):
        return timm_hub.load_timm(name, image_size, weights=False).info
    load = RECORDS[name].factory if name in RECORDS else partial(load_file, Path(name))
    found: TimmImages = load(weights=False)
    if name in RECORDS:
        found.info = dataclasses.replace(found.info, name=name)
    if changes_size(found, image_size):
        assert image_size is not None
        return found.info_at(image_size)
    return found.info


def hub_id(name: str) -> str | None:
    """The hub's repository of a backbone's weights, where its name tells."""
    if name in RECORDS or name.startswith((PREFIX, "module:")):
        return None
    if name.startswith(TEXT) and not is_file(name.removeprefix(TEXT)):
        return name.removeprefix(TEXT)
    return None if is_file(name) else timm_hub.hub_id(name)


def is_file(name: str) -> bool:
    """Whether a name is a file's, there or not."""
    return Path(name).absolute().exists() or name.endswith(WEIGHT_SUFFIXES)


def anywhere(name: str) -> str:
    """The name of a folder here, in a form that stands for it anywhere; any other as it is."""
    folder = Path(name).expanduser()
    return str(folder.absolute()) if folder.is_dir() else name


State = tuple[tuple[Path, int, int], ...]
"""Files, when they were written and how long they are."""


def state_of(*places: Path) -> State:
    """What tells whether files, or those of folders, have changed; of what is no place here, nothing."""
    files = (file for place in places for file in (sorted(place.iterdir()) if place.is_dir() else [place]))
    return tuple((file, file.stat().st_mtime_ns, file.stat().st_size) for file in files if file.is_file())


@lru_cache(maxsize=2)
def packaged(name: str) -> Backbone | DualEncoder:
    """A packaged backbone, loaded once: nobody writes to it."""
    with torch.random.fork_rng(devices=[]):
        found = RECORDS[name].factory()
    for tower in (found.image, found.text) if isinstance(found, DualEncoder) else (found,):
        tower.info = dataclasses.replace(tower.info, name=name)
    return found


@lru_cache(maxsize=2)
def from_file(name: str, state: State) -> Backbone:
    """What a file holds, loaded once as long as it is in that state."""
    return load_file(Path(name))


@lru_cache(maxsize=2)
def from_timm(name: str, image_size: int | None) -> Backbone:
    """A timm model, loaded once."""
    return timm_hub.load_timm(name, image_size)


@lru_cache(maxsize=1)
def from_open_clip(name: str, state: State) -> DualEncoder:
    """An open_clip model, loaded once as long as its files are in that state; what it draws while it is built leaves
    torch's generator as it is."""
    with torch.random.fork_rng(devices=[]):
        return load_open_clip(name)


@lru_cache(maxsize=1)
def from_text(name: str, state: State) -> TextBackbone:
    """A language model, loaded once as long as its files are in that state."""
    return load_text(name)


def of_size(pair: DualEncoder, image_size: int | None) -> DualEncoder:
    """The pair for square images of that size."""
    image = resized(pair.image, image_size)
    return pair if image is pair.image else DualEncoder(image, pair.text, pair.scale)


def resized(backbone: Backbone, image_size: int | None) -> Backbone:
    """The backbone for square inputs of that size, or of its own; the one given stays as it is."""
    if not changes_size(backbone, image_size):
        return backbone
    assert image_size is not None
    if backbone.info.image_size is None:
        raise UserError(f"{backbone.info.name} takes texts: leave --image-size out.")
    if not isinstance(backbone, TimmImages):
        own = backbone.info.image_size
        raise UserError(f"{backbone.info.name} takes images of {own} pixels alone: leave --image-size out.")
    return backbone.resized(image_size)


def changes_size(backbone: Backbone, image_size: int | None) -> bool:
    """Whether a backbone must be resized for square inputs of that size, or of its own.

    Raises:
        UserError: Its own are not square.
    """
    name, own = backbone.info.name, (backbone.info.image_size or 0,) * 2
    if isinstance(backbone, TimmImages):
        own = tuple(backbone.vit.patch_embed.img_size)
    if image_size is None and own[0] != own[1]:
        raise UserError(
            f"{name} takes images of {own[0]} x {own[1]} pixels, and selfprompt gives it square ones: "
            f"give their size (--image-size {min(own)})."
        )
    return image_size is not None and own != (image_size, image_size)
