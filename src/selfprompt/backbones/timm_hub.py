"""Backbones by timm name, and timm modules that the caller has."""

from __future__ import annotations

from typing import Any

import timm
import torch
from huggingface_hub import HfApi, constants, try_to_load_from_cache
from timm.data.config import resolve_model_data_config
from torch import nn

from selfprompt.backbones.aliases import ALIASES
from selfprompt.backbones.base import private_copy
from selfprompt.backbones.beit import Beit
from selfprompt.backbones.eva import Eva
from selfprompt.backbones.info import BackboneInfo
from selfprompt.backbones.metadata import Preprocessing, kind_of
from selfprompt.backbones.timm_images import TimmImages, checked, what_lacks
from selfprompt.backbones.vit import ViT
from selfprompt.errors import UserError, first_line, unknown
from selfprompt.files import checked as valid
from selfprompt.hub import away

FAMILIES: tuple[type[TimmImages], ...] = (ViT, Eva, Beit)

MODULES = ("vision_transformer", "deit", "eva", "beit")
"""timm's files of models that are taken."""

OTHERS = ("vit_dlittle_*", "vit_dwee_*", "vit_dpwee_*", "vit_pwee_*", "*_18x2_*", "*_xp_*", "*_distilled_*")
"""Of these, those with differential attention, parallel branches, or two classifiers."""

WEIGHTS = ("model.safetensors", "pytorch_model.bin")
"""Files of the hub that timm reads."""
PATIENCE = 3.0  # seconds for the hub's answer


def list_names() -> list[str]:
    """Every timm name of such a model that has pretrained weights."""
    names = [timm.list_models(module=module, pretrained=True, exclude_filters=list(OTHERS)) for module in MODULES]
    return sorted(name for found in names for name in found)


def load_timm(name: str, image_size: int | None = None, weights: bool = True) -> TimmImages:
    """Load pretrained weights by timm name, from the hub or its local cache.

    The class is looked at first, without weights: what cannot be used is not downloaded.

    Args:
        name: timm's, or ``hf-hub:NAME``.
        image_size: Side of the input in pixels if not the model's own.
        weights: Load them, too; otherwise it stays on the meta device.

    Raises:
        UserError: No such name, no network and no cached copy, or another class of model.
    """
    bare = name if name.startswith("hf-hub:") else name.removeprefix("timm/")
    bare = bare.removeprefix("hf-hub:timm/")
    if not bare.startswith("hf-hub:") and not timm.is_model(bare):
        raise unknown("backbone", name, [*timm.list_models(), *ALIASES, "builtin"])
    tags = timm.list_models(f"{bare.partition('.')[0]}.*", pretrained=True)
    if "." in bare and tags and bare not in tags:
        raise unknown("backbone", name, tags)
    with torch.device("meta"):
        empty = wrap_module(create(bare, pretrained=False), name)
        if image_size is not None:
            empty.expect_size(image_size)
        if not weights:
            own = image_size in (None, empty.info.image_size)
            return empty if own else wrap_module(create(bare, pretrained=False, img_size=image_size), name)
    backbone = checked(wrap_module(create(bare, pretrained=True), name))
    if image_size in (None, backbone.info.image_size):
        return backbone
    other = checked(wrap_module(create(bare, pretrained=True, img_size=image_size), name))
    with other.computing(backbone.fingerprint()):
        return other


def hub_id(name: str) -> str | None:
    """The hub's repository of a timm model's weights, where there is one."""
    if name.startswith("hf-hub:"):
        return name.removeprefix("hf-hub:").partition("@")[0]
    bare = name.removeprefix("timm/")
    known = timm.get_pretrained_cfg(bare, allow_unregistered=False) if timm.is_model(bare) else None
    return known.hf_hub_id if known and known.has_weights else None


def out_of_reach(name: str) -> str | None:
    """Why a timm model's weights cannot be had: the hub is away, or told to be; None where they can, or are here."""
    repository = hub_id(name)
    assert repository is not None
    if any(isinstance(try_to_load_from_cache(repository, file), str) for file in WEIGHTS):
        return None
    if constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE is set"
    try:
        HfApi().model_info(repository, timeout=PATIENCE)
    except Exception as error:  # the hub's client raises whatever its many layers do
        return first_line(error)[:200]
    return None


def create(name: str, *, pretrained: bool, **options: Any) -> nn.Module:
    """timm's model without a classifier.

    Raises:
        UserError: timm does not give it.
    """
    fix = "use --backbone builtin, or --backbone FILE with a weights file on disk"
    asks = pretrained or name.startswith("hf-hub:")
    if asks and (repository := hub_id(name)) and (why := away(repository)):
        raise UserError(f"The weights of {name} could not be had from the hub ({why}): {fix}.")
    try:
        return timm.create_model(name, pretrained=pretrained, num_classes=0, **options)
    except Exception as error:  # the hub's client raises whatever its many layers do
        why = first_line(error)[:200]
        raise UserError(f"The weights of {name} could not be had from the hub ({why}): {fix}.") from error


def family_of(model: nn.Module) -> type[TimmImages]:
    """The kind of backbone that takes a model's class; `ViT`, which refuses it, where none does."""
    return next((kind for kind in FAMILIES if isinstance(model, kind.family)), ViT)


def wrap_module(model: nn.Module, name: str | None = None) -> TimmImages:
    """A backbone around a timm module's numbers, in float32; its own configuration tells normalisation and resizing.

    The module itself stays as it is.
    """
    while hasattr(model, "_orig_mod") or isinstance(model, (nn.DataParallel, nn.parallel.DistributedDataParallel)):
        model = model._orig_mod if hasattr(model, "_orig_mod") else model.module  # type: ignore[assignment]
    config: Any = getattr(model, "pretrained_cfg", None) or {}
    own = valid(config, Preprocessing, f"The pretrained_cfg of {name or type(model).__name__}", "fix or delete it")
    architecture = own.architecture or type(model).__name__
    name = name or f"module:{architecture}"
    kind = family_of(model)
    if what_lacks(model, kind):  # before anything of it is used
        return kind(model, BackboneInfo(name, architecture, "unknown", 0))
    data = resolve_model_data_config(model)
    patch_embed: Any = model.patch_embed
    info = BackboneInfo(
        name=name,
        architecture=architecture,
        pretraining=kind_of(own.tag or name.partition(".")[2], architecture),
        image_size=int(patch_embed.img_size[0]),
        mean=tuple(data["mean"]),
        std=tuple(data["std"]),
        interpolation=data["interpolation"],
        crop_fraction=float(data["crop_pct"]),
        resize="squash" if data.get("crop_mode") == "squash" else "crop",
    )
    try:
        return kind(private_copy(model).float(), info)
    except RuntimeError as error:  # weights that another module computes, or of inference mode
        raise UserError(
            f"{name} cannot be copied ({first_line(error)[:100]}): give it plain weights (remove weight norm or "
            f"pruning, build it outside inference mode)."
        ) from error
