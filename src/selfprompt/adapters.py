"""The adapter on disk: adapter_config.json beside adapter_model.safetensors."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from pydantic import BaseModel, ConfigDict, ValidationError
from torch import Tensor

from selfprompt.data.protocol import Protocol
from selfprompt.errors import UserError

CONFIG_NAME = "adapter_config.json"
WEIGHTS_NAME = "adapter_model.safetensors"
FILES = (CONFIG_NAME, WEIGHTS_NAME)
FORMAT = 1


class BackboneReference(BaseModel):
    """What finds an adapter's backbone again, and proves that it is the same."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    architecture: str
    pretraining: str
    image_size: int
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
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int = FORMAT
    selfprompt_version: str
    method: dict[str, Any]
    backbone: BackboneReference
    num_classes: int
    class_names: list[str] | None = None
    protocol: Protocol
    sources: list[list[tuple[int, int]]] | None = None
    metrics: dict[str, Any] | None = None


def write_adapter(folder: Path, config: AdapterConfig, state: dict[str, Tensor]) -> None:
    """Write both files, each whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = {k: v.detach().cpu().contiguous() for k, v in state.items()}
    replace_file(folder / WEIGHTS_NAME, safetensors.torch.save(weights, metadata={"format": "pt"}))
    replace_file(folder / CONFIG_NAME, (config.model_dump_json(indent=2) + "\n").encode())


def read_adapter(folder: Path) -> tuple[AdapterConfig, dict[str, Tensor]]:
    """Read both files.

    Raises:
        UserError: A file is missing or damaged, comes from a newer version, or has no head.
    """
    for name in FILES:
        if not (folder / name).is_file():
            raise UserError(f"{folder} is no adapter: it has no {name}.")
    try:
        raw = json.loads((folder / CONFIG_NAME).read_text())
        if isinstance(raw, dict) and raw.get("format", 0) > FORMAT:
            raise UserError(f"{folder / CONFIG_NAME} was written by a newer selfprompt: pip install -U selfprompt.")
        config = AdapterConfig.model_validate(raw)
    except (json.JSONDecodeError, ValidationError) as error:
        raise UserError(f"{folder / CONFIG_NAME} is damaged ({str(error).splitlines()[0]}).") from None
    try:
        state = safetensors.torch.load_file(folder / WEIGHTS_NAME)
    except safetensors.SafetensorError as error:
        raise UserError(f"{folder / WEIGHTS_NAME} is damaged ({error}).") from None
    if not any(k.startswith("head.") for k in state):
        raise UserError(f"{folder / WEIGHTS_NAME} has no head: save the adapter again with save_pretrained.")
    return config, state


def replace_file(path: Path, contents: bytes) -> None:
    """Write a file so that it is there whole or, if the process dies, as it was."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with temporary.open("wb") as file:
        file.write(contents)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
