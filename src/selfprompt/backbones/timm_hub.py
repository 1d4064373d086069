"""Backbones by timm name, and timm modules that the caller has."""

from __future__ import annotations

from typing import Any

import timm
from timm.data.config import resolve_model_data_config
from torch import nn

from selfprompt.backbones.base import BackboneInfo, Pretraining
from selfprompt.backbones.vit import ViT, what_lacks
from selfprompt.errors import UserError, first_line, unknown


def list_names() -> list[str]:
    """Every timm name of the plain VisionTransformer class that has pretrained weights."""
    return timm.list_models(module="vision_transformer", pretrained=True)


def load_timm(name: str, image_size: int | None = None) -> ViT:
    """Load pretrained weights by timm name, from the hub or its local cache.

    Raises:
        UserError: No such name, no network and no cached copy, or another class of model.
    """
    bare = name.removeprefix("timm/").removeprefix("hf-hub:timm/")
    if not name.startswith("hf-hub:") and not timm.is_model(bare):
        raise unknown("backbone", name, [*timm.list_models(), "builtin"])
    size: dict[str, Any] = {} if image_size is None else {"img_size": image_size}
    try:
        model = timm.create_model(
            name if name.startswith("hf-hub:") else bare, pretrained=True, num_classes=0, **size
        )
    except UserError:
        raise
    except TypeError as error:
        raise UserError(f"{name} does not take an image size of its own ({error}).") from None
    except Exception as error:
        raise UserError(
            f"The weights of {name} could not be had from the hub ({first_line(error)[:200]}): "
            f"use --backbone builtin, or --backbone FILE with a weights file on disk."
        ) from error
    return wrap_module(model, name)


def wrap_module(model: nn.Module, name: str | None = None) -> ViT:
    """A `ViT` around a timm module; normalisation and resizing come from its own configuration."""
    config: dict[str, Any] = dict(getattr(model, "pretrained_cfg", None) or {})
    architecture = config.get("architecture") or type(model).__name__
    name = name or f"module:{architecture}"
    if what_lacks(model):  # before anything is asked of it
        return ViT(model, BackboneInfo(name, architecture, "unknown", 0))
    data = resolve_model_data_config(model)
    patch_embed: Any = model.patch_embed
    size = patch_embed.img_size
    info = BackboneInfo(
        name=name,
        architecture=architecture,
        pretraining=kind_of(config.get("tag") or name.partition(".")[2], architecture),
        image_size=int(size[0]) if size else int(data["input_size"][-1]),
        mean=tuple(data["mean"]),
        std=tuple(data["std"]),
        interpolation=data["interpolation"],
        crop_fraction=float(data["crop_pct"]),
        resize="squash" if data.get("crop_mode") == "squash" else "crop",
    )
    return ViT(model, info)


def kind_of(tag: str, architecture: str) -> Pretraining:
    """The kind of pretraining that a timm tag tells; a tag of fine-tuning on labels counts as supervised."""
    words = f"{architecture}.{tag}"
    if not tag:
        return "unknown"
    if "ft_in" in tag:
        return "supervised"
    for kind, marks in (
        ("mae", (".mae",)),
        ("dino", ("dino", "lvd142m")),
        ("clip", ("clip", "siglip", "laion", "openai")),
    ):
        if any(mark in words for mark in marks):
            return kind  # type: ignore[return-value]
    return "supervised"
