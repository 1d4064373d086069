"""The adapter on disk: adapter_config.json beside adapter_model.safetensors."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import safetensors
import safetensors.torch
from huggingface_hub import snapshot_download
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from selfprompt.data.protocol import AnyProtocol
from selfprompt.data.tables import HUB, Kind
from selfprompt.errors import UserError, first_line
from selfprompt.files import checked, damaged, json_object, read_bytes, read_json, replace_file, text_of
from selfprompt.scores.calibration import Calibration

CONFIG_NAME = "adapter_config.json"
WEIGHTS_NAME = "adapter_model.safetensors"
FILES = (CONFIG_NAME, WEIGHTS_NAME)
FORMAT, FIX = 2, "restore it, or save the adapter again"
NOT_PEFT = "none: this is an adapter of selfprompt, not of PEFT; open it with selfprompt.load"
Place = Annotated[int, Field(ge=-1, lt=2**31)]


class BackboneReference(BaseModel):
    """What finds an adapter's backbone again, and proves that it is the same."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    architecture: str
    pretraining: str
    image_size: int | None = Field(ge=1)
    hash: str


class AdapterConfig(BaseModel):
    """adapter_config.json: all that is needed, besides weights, to rebuild a model.

    Args:
        format: Version of this layout.
        selfprompt_version: Version of the library that wrote it.
        method: The method's name and fields.
        backbone: Its name or path, and the hash of its weights.
        num_classes, class_names: Of the head; the names in the order of its outputs, where known.
        protocol: What the images were like.
        sources: Where each prompt came from: for every layer, (image, patch) of every prompt as it started, -1
            for one that was condensed away; None if nowhere.
        metrics: What the run measured, where there was one.
        calibration: The temperature of the probabilities, and thresholds of them; left out where there is none.
        thresholds: With which probability each class is given, where an input may have several labels; as before.
        peft_type, base_model_name_or_path: What PEFT and transformers look for in a file of this name.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int = Field(default=FORMAT, ge=1)
    selfprompt_version: str
    method: dict[str, Any]
    backbone: BackboneReference
    num_classes: int = Field(ge=2)
    class_names: list[str] | None = None
    protocol: AnyProtocol
    sources: list[list[tuple[Place, Place]]] | None = None
    metrics: dict[str, Any] | None = None
    calibration: Calibration | None = None
    thresholds: list[Annotated[float, Field(ge=0, le=1)]] | None = None
    peft_type: str = NOT_PEFT
    base_model_name_or_path: str = NOT_PEFT


def write_adapter(folder: Path, config: AdapterConfig, state: dict[str, Tensor]) -> None:
    """Write both files, each whole or not at all."""
    weights = {k: v.detach().cpu().contiguous() for k, v in state.items()}
    replace_file(folder / WEIGHTS_NAME, safetensors.torch.save(weights, metadata={"format": "pt"}))
    absent = {name for name in ("calibration", "thresholds") if getattr(config, name) is None}
    fields = config.model_dump(mode="json", exclude=absent)
    replace_file(folder / CONFIG_NAME, json.dumps(fields, indent=2, ensure_ascii=False) + "\n")


def read_adapter(folder: Path) -> tuple[AdapterConfig, dict[str, Tensor]]:
    """What both files say.

    Raises:
        UserError: A file is missing or damaged, or comes from a newer version.
    """
    return adapter_in(folder, *read_files(folder))


def read_files(folder: Path) -> tuple[bytes, bytes]:
    """What both files hold, of the configuration and of the weights.

    Raises:
        UserError: One is missing, or cannot be read.
    """
    for name in FILES:
        if not (folder / name).is_file():
            raise UserError(f"{folder} is no adapter: it has no {name}.")
    return read_bytes(folder / CONFIG_NAME, FIX), read_bytes(folder / WEIGHTS_NAME, FIX)


def adapter_in(folder: Path, contents: bytes, weights: bytes) -> tuple[AdapterConfig, dict[str, Tensor]]:
    """What the files of a folder say, which are read already; errors as of `read_adapter`."""
    path = folder / CONFIG_NAME
    raw = json_object(text_of(contents, path, FIX), path, FIX)
    written = raw.get("format", 0)
    if isinstance(written, int) and written > FORMAT:
        raise UserError(f"{path} was written by a newer selfprompt: pip install -U selfprompt.")
    if written == 1:
        raw["format"] = FORMAT  # besides this number, the configuration was the same
    config = checked(raw, AdapterConfig, path, FIX)
    if config.protocol.side != config.backbone.image_size:
        raise damaged(path, "its protocol and its backbone are of different image sizes", FIX)
    names, lengths = config.class_names, {len(layer) for layer in config.sources or ()}
    if not isinstance(config.method.get("name"), str):
        raise damaged(path, "its method has no name", FIX)
    if lacking := sorted(config.protocol.first - raw["protocol"].keys()):
        raise damaged(path, f"its protocol has no {lacking[0]}", FIX)
    if config.thresholds is not None and len(config.thresholds) != config.num_classes:
        raise damaged(path, "its thresholds are not as many as classes", FIX)
    if len(lengths) > 1 or (names is not None and len(names) != config.num_classes):
        what = "sources are of different lengths" if len(lengths) > 1 else "class names are not as many as classes"
        raise damaged(path, f"its {what}", FIX)
    try:
        state = safetensors.torch.load(weights)
    except safetensors.SafetensorError as error:
        raise damaged(folder / WEIGHTS_NAME, first_line(error), FIX) from None
    return config, upgraded(state)


def upgraded(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights of any format as those of today's: in format 1 the one tower, of images, was not named."""
    old = ("insertion.", "backbone.")
    return {f"towers.image.{name}" if name.startswith(old) else name: value for name, value in state.items()}


class Glance(NamedTuple):
    """What an adapter classifies, into which classes, and whether an input may have several of them."""

    kind: Kind
    classes: list[str]
    multi_label: bool


def glance(adapter: str | os.PathLike[str]) -> Glance:
    """See `Glance`: by an adapter's configuration alone; images, and classes by number, where it is silent."""
    path = find_adapter(adapter) / CONFIG_NAME
    config = read_json(path, FIX) if path.is_file() else {}
    protocol, count, names = (config.get(key) for key in ("protocol", "num_classes", "class_names"))
    known = protocol if isinstance(protocol, dict) else {}
    kind: Kind = "text" if known.get("kind") == "text" else "image"
    numbers = [str(i) for i in range(count if isinstance(count, int) else 0)]
    return Glance(kind, names if isinstance(names, list) else numbers, known.get("multi_label") is True)


def is_adapter(name: str | os.PathLike[str]) -> bool:
    """Whether a name is an adapter's and no backbone's: a folder, or a repository named as one of the hub."""
    return os.fspath(name).startswith(HUB) or os.path.isdir(name)


def find_adapter(adapter: str | os.PathLike[str], **hub: Any) -> Path:
    """An adapter's folder; ``hf:user/name``, ``user/name`` or ``user/name@revision`` is fetched from the hub.

    Raises:
        UserError: It is neither.
    """
    if not isinstance(adapter, (str, os.PathLike)):
        raise UserError(f"The adapter is {adapter!r:.60}: give its folder, or a repository of the hub.")
    folder = Path(adapter)
    if folder.is_dir():
        return folder
    name, _, revision = os.fspath(adapter).removeprefix(HUB).partition("@")
    if revision and hub.setdefault("revision", revision) != revision:
        raise UserError(f"{adapter} and revision={hub['revision']!r} are two revisions: give one.")
    try:
        return Path(snapshot_download(name, **{"allow_patterns": list(FILES), **hub}))
    except Exception as error:
        raise UserError(
            f"{adapter} is neither a folder here nor an adapter that the hub gives ({first_line(error)[:200]})."
        ) from error
