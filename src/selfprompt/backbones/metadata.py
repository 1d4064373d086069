"""A backbone's metadata beside its weights: timm's or transformers' config.json, or our own files' header."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import timm
from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt
from timm.layers.norm import LayerNorm

from selfprompt.backbones.info import Interpolation, Pretraining
from selfprompt.files import checked, read_json

LENIENT = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)
FIX = "fix or remove it"


@dataclass(frozen=True)
class Metadata:
    """What is known of a file of weights beside the weights.

    Args:
        architecture: timm's name; None if there is none.
        arguments: Of timm's VisionTransformer.
        complete: Whether these are all: nothing is left to be assumed.
        preprocessing: Fields of `BackboneInfo`: normalisation and resizing.
        pretraining: How it was trained.
        size: (H, W) of the input, if given.
    """

    architecture: str | None = None
    arguments: dict[str, Any] = field(default_factory=dict)
    complete: bool = False
    preprocessing: dict[str, Any] = field(default_factory=dict)
    pretraining: Pretraining = "unknown"
    size: tuple[int, int] | None = None


class Preprocessing(BaseModel):
    """How images were prepared, under timm's names; None where it is not given."""

    model_config = LENIENT

    mean: tuple[float, float, float] | None = None
    std: tuple[PositiveFloat, PositiveFloat, PositiveFloat] | None = None
    interpolation: Interpolation | None = None
    crop_pct: float | None = Field(default=None, gt=0, le=1)
    crop_mode: str | None = None
    input_size: tuple[PositiveInt, PositiveInt, PositiveInt] | None = None
    tag: str | None = None
    architecture: str | None = None

    def fields(self) -> dict[str, Any]:
        """Those of `BackboneInfo`, as far as they are given."""
        given = self.model_dump(include={"mean", "std", "interpolation"}, exclude_none=True)
        given |= {} if self.crop_pct is None else {"crop_fraction": self.crop_pct}
        return given | ({"resize": "squash"} if self.crop_mode == "squash" else {})


class Arguments(BaseModel):
    """timm's ``model_args``, of which the others are passed on."""

    model_config = LENIENT | ConfigDict(extra="allow")

    img_size: PositiveInt | tuple[PositiveInt, PositiveInt] | None = None
    layer_norm_eps: PositiveFloat | None = None


class Config(BaseModel):
    """A config.json, timm's or (of the same facts under other names) transformers'."""

    model_config = LENIENT

    architecture: str | None = None
    model_args: Arguments | None = None
    global_pool: str | None = None
    num_attention_heads: PositiveInt | None = None
    hidden_act: str | None = None
    layer_norm_eps: PositiveFloat | None = None


class Header(BaseModel):
    """The header of our own weights files, see `selfprompt pretrain`."""

    model_config = LENIENT

    architecture: dict[str, Any]
    pretraining: Pretraining
    mean: tuple[float, float, float]
    std: tuple[PositiveFloat, PositiveFloat, PositiveFloat]
    interpolation: Interpolation
    crop_fraction: float = Field(gt=0, le=1)


def read_header(found: Any, path: Path) -> Metadata:
    """The metadata in the header of our own file.

    Raises:
        UserError: It is damaged.
    """
    header = checked(found, Header, path, "make it again with selfprompt pretrain")
    preprocessing = header.model_dump(include={"mean", "std", "interpolation", "crop_fraction"})
    return Metadata(None, header.architecture, True, preprocessing, header.pretraining)


def read_beside(path: Path, name: Any = None) -> Metadata:
    """The metadata in ``config.json`` in the file's folder.

    Args:
        path: The file of weights.
        name: The architecture that the file itself names, as timm's training script writes it.

    Raises:
        UserError: The config.json is damaged.
    """
    file = path.parent / "config.json"
    found = read_json(file, FIX) if file.is_file() else {}
    config = checked(found, Config, file, FIX)
    own = checked(found.get("pretrained_cfg") or found, Preprocessing, file, FIX)
    more = config.model_args or Arguments()
    named = {
        "num_heads": config.num_attention_heads,
        "act_layer": config.hidden_act,
        "global_pool": config.global_pool,
    }
    arguments = {k: v for k, v in named.items() if v} | (more.model_extra or {})
    if eps := more.layer_norm_eps or config.layer_norm_eps:
        arguments["norm_layer"] = partial(LayerNorm, eps=eps)
    name = config.architecture or own.architecture or name
    known = name if isinstance(name, str) and timm.is_model(name) else None
    size = more.img_size or (own.input_size and own.input_size[1:])
    size = (size, size) if isinstance(size, int) else size
    return Metadata(known, arguments, False, own.fields(), kind_of(own.tag or "", known or ""), size)


def kind_of(tag: str, architecture: str) -> Pretraining:
    """The kind of pretraining that a timm tag names; a tag of fine-tuning on labels counts as supervised.

    Unknown are those for which no method publishes a recipe: I-JEPA, AIMv2, BEiT-3, RADIO, InternViT, EVA-02's
    masked modelling, EUPE, the Perception Encoder's for language and for places, LingBot, Sapiens2.
    """
    words = f"{architecture}.{tag}"
    if "ft_in" in tag:
        return "supervised"
    if not tag or any(mark in tag for mark in ("ijepa", "mim_", "eupe")):
        return "unknown"
    for kind, marks in (
        ("mae", (".mae",)),
        ("dino", (".dino", "dinov2", "dinov3")),
        ("clip", ("clip", "siglip", "tips", "laion", "openai", "pe_core")),
    ):
        if any(mark in words for mark in marks):
            return kind  # type: ignore[return-value]
    return "supervised" if re.search(r"in\d+k|bamboo", tag) else "unknown"
