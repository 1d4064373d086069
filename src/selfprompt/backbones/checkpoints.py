"""Weights from files: official MAE, MoCo-v3 and DINO layouts, timm's, and our own; no code is ever run.

Of a file, what belongs to pretraining alone (decoder, projection heads, momentum copy, classifier) is left out by
name; every other weight must find its place. What the architecture is, `architecture.py` tells.
"""

from __future__ import annotations

import argparse
import json
import logging
import pickle
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from selfprompt.backbones.architecture import build
from selfprompt.backbones.info import BackboneInfo, Pretraining
from selfprompt.backbones.metadata import read_beside, read_header
from selfprompt.backbones.timm_images import checked
from selfprompt.backbones.vit import ViT
from selfprompt.errors import UserError, first_line

logger = logging.getLogger("selfprompt")

PRETRAINING_ONLY = ("decoder_", "mask_token", "head.", "head_dist.", "fc.", "projector.", "predictor.")
FIRST, SECOND = "patch_embed.proj.weight", "blocks.0.attn.qkv.weight"
"""Two weights that every ViT has under timm's names."""

RANKS = {
    FIRST: 4,
    **dict.fromkeys(("cls_token", "pos_embed", "reg_token", "register_tokens"), 3),
    **dict.fromkeys((SECOND, "blocks.0.mlp.fc1.weight", "blocks.0.mlp.fc2.weight"), 2),
    "blocks.0.attn.q_norm.weight": 1,
}
"""Dimensions of the weights whose shapes tell the architecture."""

WRAPPERS = ("model", "state_dict", "teacher")
PREFIXES = (
    "",
    "module.base_encoder.",
    "module.backbone.",
    "backbone.",
    "module.",
    "teacher.backbone.",
)
"""What is taken first of several dictionaries in a file, and of several ViTs in a dictionary."""


def load_file(path: Path, weights: bool = True) -> ViT:
    """Load a ViT from a ``.safetensors``, ``.pth``, ``.pt`` or ``.bin`` file.

    Args:
        path: The file.
        weights: Read them, too; otherwise names and shapes alone, and the ViT stays on the meta device.

    Raises:
        UserError: The file is missing, is damaged, holds objects that would run code, is no ViT, or one whose
            architecture can only be guessed.
    """
    if not path.is_file():
        raise UserError(f"There is no weights file {path}.")
    contents, header = read_file(path, "cpu" if weights else "meta")
    state, pretraining = find_encoder(contents, path, weights)
    metadata = read_beside(path, contents.get("arch")) if header is None else read_header(header, path)
    vit, guess = build(state, path, metadata, pretraining)
    if pretraining == "unknown" or metadata.complete:
        pretraining = metadata.pretraining
    wrong = [k for k, v in vit.state_dict().items() if k in state and state[k].shape != v.shape]
    if wrong:
        raise UserError(f"{path}: {wrong[0]} has the shape {tuple(state[wrong[0]].shape)}, which fits no ViT.")
    own = {k: v.to(torch.float32, copy=True, memory_format=torch.contiguous_format) for k, v in state.items()}
    lost = vit.load_state_dict(own, strict=False, assign=True)
    if lost.missing_keys or lost.unexpected_keys:
        kind, key = ("lacks", lost.missing_keys) if lost.missing_keys else ("has an unknown", lost.unexpected_keys)
        raise UserError(f"{path} {kind} weight {key[0]} (and {len(key) - 1} more): it is no plain ViT's file.")
    if guess and weights:
        logger.warning(guess)
    size = int(vit.patch_embed.img_size[0])
    name = f"vit_{vit.embed_dim}x{len(vit.blocks)}_patch{vit.patch_embed.patch_size[0]}_{size}"
    backbone = ViT(vit, BackboneInfo(str(path), name, pretraining, size, **metadata.preprocessing))
    return checked(backbone) if weights else backbone


def read_file(path: Path, device: str) -> tuple[dict[str, Any], Any]:
    """The contents of a weights file on a device, and our own header where it has one."""
    try:
        if path.suffix == ".safetensors":
            with safetensors.safe_open(path, framework="pt") as file:
                header = (file.metadata() or {}).get("selfprompt")
            found = safetensors.torch.load_file(path)  # read where it is touched
            return {k: v.to(device) for k, v in found.items()}, json.loads(header) if header else None
        with torch.serialization.safe_globals([argparse.Namespace]):
            contents = torch.load(path, map_location=device, weights_only=True)
    except pickle.UnpicklingError:
        raise UserError(
            f"{path} holds Python objects that would run code, and was not loaded: "
            f"save its state_dict alone, best as .safetensors."
        ) from None
    except Exception as error:  # the readers raise whatever damaged bytes lead them to
        raise UserError(f"{path} is no weights file that can be read ({first_line(error)}).") from None
    if not isinstance(contents, dict):
        raise UserError(f"{path} holds a {type(contents).__name__}, not a dictionary of weights.")
    return contents, None


def find_encoder(contents: dict[str, Any], path: Path, weights: bool) -> tuple[dict[str, Tensor], Pretraining]:
    """The encoder's weights under timm's names, and the kind of pretraining that the layout tells."""
    state, keys = unwrap(contents, path)
    state = {k: v for k, v in state.items() if isinstance(v, Tensor)}
    prefixes = [k.removesuffix(FIRST) for k in state if k.endswith(FIRST) and k.removesuffix(FIRST) + SECOND in state]
    if not prefixes:
        some = ", ".join(str(k) for k in list(state or contents)[:3]) or "nothing"
        raise UserError(f"{path} holds no ViT that is known (it has {some}): MAE, MoCo-v3, DINO or timm files are.")
    prefix = next((p for p in PREFIXES if p in prefixes), prefixes[0])
    if prefix not in PREFIXES and len(prefixes) > 1:
        raise UserError(f"{path} holds several ViTs ({', '.join(prefixes)}): save the one that is meant alone.")
    state = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
    expect_weights({k: v for k, v in state.items() if not k.startswith(PRETRAINING_ONLY)}, path, weights)
    pretraining: Pretraining = "unknown"
    if "mask_token" in state and "blocks.0.ls1.gamma" in state:
        state, pretraining = from_dinov2(state), "dino"
    elif keys == ("teacher",) or prefix == "teacher.backbone.":
        pretraining = "dino"
    elif prefix == "module.base_encoder." or contents.get("arch") in ("vit_small", "vit_base"):
        pretraining = "mocov3"  # by its own names, which timm's are not
    elif keys == ("model",) and prefix == "":
        pretraining = "supervised" if "head.weight" in state else "mae"  # DeiT's files have the same key
    return {k: v for k, v in state.items() if not k.startswith(PRETRAINING_ONLY)}, pretraining


def expect_weights(state: dict[str, Tensor], path: Path, read: bool) -> None:
    """Raise `UserError` unless they are floats of the ranks that a ViT's have, in blocks counted from 0.

    Those that were ``read`` must be finite; the others are on the meta device.
    """
    depth = len({k.split(".")[1] for k in state if k.startswith("blocks.")})
    blocks = {str(i) for i in range(depth)}
    for key, value in state.items():
        if not value.is_floating_point() or value.layout != torch.strided or value.is_meta == read:
            wrong = f"holds no plain floats ({value.dtype}, {value.layout}, {value.device})"
        elif value.ndim != RANKS.get(key, value.ndim) or not value.numel():
            wrong = f"has the shape {tuple(value.shape)}, which fits no ViT"
        elif read and not value.float().isfinite().all():
            wrong = "is NaN or infinite"
        elif key.startswith("blocks.") and key.split(".")[1] not in blocks:
            wrong = f"is of none of the {depth} blocks, counted from 0"
        else:
            continue
        raise UserError(f"{path}: {key} {wrong}: save the weights of a ViT.")


def unwrap(contents: dict[Any, Any], path: Path) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The dictionary inside that holds a ViT's weights, and the keys that lead to it; an empty one if none does."""
    if any(isinstance(k, str) and k.endswith(FIRST) for k in contents):
        return {k: v for k, v in contents.items() if isinstance(k, str)}, ()
    inner = {k: unwrap(v, path) for k, v in contents.items() if isinstance(v, dict)}
    found = {str(k): state_keys for k, state_keys in inner.items() if state_keys[0]}
    key = next((k for k in WRAPPERS if k in found), next(iter(found), None))
    if key is None:
        return {}, ()
    if key not in WRAPPERS and len(found) > 1:
        raise UserError(f"{path} holds several ViTs ({', '.join(found)}): save the one that is meant alone.")
    return found[key][0], (key, *found[key][1])


def from_dinov2(state: dict[str, Any]) -> dict[str, Any]:
    """DINOv2's own names to timm's: registers apart from positions, the gated MLP's layers renamed."""
    state = {k.replace("mlp.w12.", "mlp.fc1.").replace("mlp.w3.", "mlp.fc2."): v for k, v in state.items()}
    if {"register_tokens", "cls_token", "pos_embed"} <= state.keys() and state["cls_token"].shape == state[
        "pos_embed"
    ][:, :1].shape:
        positions = state.pop("pos_embed")
        state["reg_token"] = state.pop("register_tokens")
        state["cls_token"] = state["cls_token"] + positions[:, :1]
        state["pos_embed"] = positions[:, 1:]
    return state
