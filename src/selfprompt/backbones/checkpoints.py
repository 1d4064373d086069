"""Weights from files: official MAE, MoCo-v3 and DINO layouts, timm's, and our own; no code is ever run.

The architecture is read off the shapes of the weights. Of a file, what belongs to pretraining alone (decoder,
projection heads, momentum copy, classifier) is left out by name; every other weight must find its place.
"""

from __future__ import annotations

import argparse
import json
import math
import pickle
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from timm.layers.mlp import SwiGLUPacked
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from selfprompt.backbones.base import BackboneInfo, Pretraining
from selfprompt.backbones.vit import ViT
from selfprompt.errors import UserError, first_line
from selfprompt.files import read_json

State = dict[str, Tensor]

PRETRAINING_ONLY = ("decoder_", "mask_token", "head.", "head_dist.", "fc.", "projector.", "predictor.")


def load_file(path: Path) -> ViT:
    """Load a ViT from a ``.safetensors``, ``.pth``, ``.pt`` or ``.bin`` file.

    Raises:
        UserError: The file is missing, is damaged, holds objects that would run code, or is no ViT.
    """
    if not path.is_file():
        raise UserError(f"There is no weights file {path}.")
    contents, header = read_file(path)
    state, pretraining = find_encoder(contents, path)
    if header:
        vit = VisionTransformer(**header["architecture"])
        seen: dict[str, Any] = {k: tuple(header[k]) for k in ("mean", "std")}
        seen |= {k: header[k] for k in ("interpolation", "crop_fraction")}
        pretraining = header["pretraining"]
    else:
        vit = build_from_shapes(state, path, heads=12 if pretraining == "mocov3" else None)
        seen = beside(path)
    wrong = [k for k, v in vit.state_dict().items() if k in state and state[k].shape != v.shape]
    if wrong:
        raise UserError(f"{path}: {wrong[0]} has the shape {tuple(state[wrong[0]].shape)}, which fits no ViT.")
    lost = vit.load_state_dict({k: v.float() for k, v in state.items()}, strict=False)
    if lost.missing_keys or lost.unexpected_keys:
        kind, key = ("lacks", lost.missing_keys) if lost.missing_keys else ("has an unknown", lost.unexpected_keys)
        raise UserError(f"{path} {kind} weight {key[0]} (and {len(key) - 1} more): it is no plain ViT's file.")
    size = int(vit.patch_embed.img_size[0])
    architecture = f"vit_{vit.embed_dim}x{len(vit.blocks)}_patch{vit.patch_embed.patch_size[0]}_{size}"
    return ViT(vit, BackboneInfo(str(path), architecture, pretraining, size, **seen))


def read_file(path: Path) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """The contents of a weights file, and our own header where it has one."""
    try:
        if path.suffix == ".safetensors":
            with safetensors.safe_open(path, framework="pt") as file:
                header = (file.metadata() or {}).get("selfprompt")
            return dict(safetensors.torch.load_file(path)), json.loads(header) if header else None
        with torch.serialization.safe_globals([argparse.Namespace]):
            contents = torch.load(path, map_location="cpu", weights_only=True)
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


def find_encoder(contents: dict[str, Any], path: Path) -> tuple[State, Pretraining]:
    """The encoder's weights under timm's names, and the kind of pretraining that the layout tells."""
    pretraining: Pretraining = "unknown"
    state: dict[str, Any] = contents
    for key in ("model", "state_dict", "teacher"):
        if isinstance(contents.get(key), dict):
            state = contents[key]
            pretraining = {"model": "mae", "teacher": "dino"}.get(key, "unknown")  # type: ignore[assignment]
            break
    for prefix in ("module.base_encoder.", "module.backbone.", "backbone.", "module."):
        if any(k.startswith(prefix) for k in state):
            state = {k[len(prefix) :]: v for k, v in state.items() if k.startswith(prefix)}
            if "state_dict" in contents and prefix in ("module.base_encoder.", "module."):
                pretraining = "mocov3"
            break
    if "mask_token" in state and "blocks.0.ls1.gamma" in state:
        state, pretraining = from_dinov2(state), "dino"
    if pretraining == "mae" and "head.weight" in state and "fc_norm.weight" not in state:
        pretraining = "supervised"  # DeiT's files have the same key
    state = {k: v for k, v in state.items() if isinstance(v, Tensor) and not k.startswith(PRETRAINING_ONLY)}
    if "patch_embed.proj.weight" not in state or "blocks.0.attn.qkv.weight" not in state:
        some = ", ".join(list(contents)[:3]) or "nothing"
        raise UserError(f"{path} holds no ViT that is known (it has {some}): MAE, MoCo-v3, DINO or timm files are.")
    return state, pretraining


def from_dinov2(state: dict[str, Any]) -> dict[str, Any]:
    """DINOv2's own names to timm's: registers apart from positions, the gated MLP's layers renamed."""
    state = {k.replace("mlp.w12.", "mlp.fc1.").replace("mlp.w3.", "mlp.fc2."): v for k, v in state.items()}
    if "register_tokens" in state:
        positions = state.pop("pos_embed")
        state["reg_token"] = state.pop("register_tokens")
        state["cls_token"] = state["cls_token"] + positions[:, :1]
        state["pos_embed"] = positions[:, 1:]
    return state


def build_from_shapes(state: State, path: Path, heads: int | None = None) -> VisionTransformer:
    """A VisionTransformer of the shapes that the weights have.

    The number of heads shows in no shape: 64 numbers a head unless ``heads`` or qk-norm tells otherwise
    (MoCo-v3's ViTs all have twelve).
    """
    width, channels, patch, _ = state["patch_embed.proj.weight"].shape
    depth = 1 + max(int(k.split(".")[1]) for k in state if k.startswith("blocks."))
    if "blocks.0.attn.q_norm.weight" in state:
        heads = width // len(state["blocks.0.attn.q_norm.weight"])
    heads = heads or max(1, width // 64)
    registers = state["reg_token"].shape[1] if "reg_token" in state else 0
    prefix = ("cls_token" in state) + registers
    length = state["pos_embed"].shape[1] if "pos_embed" in state else 0
    embedded = math.isqrt(max(0, length - prefix)) ** 2 == length - prefix
    patches = length - prefix if embedded else length
    if patches <= 0 or math.isqrt(patches) ** 2 != patches:
        raise UserError(f"{path} has {length} position embeddings, which are no square of patches.")
    fc1, fc2 = state["blocks.0.mlp.fc1.weight"], state["blocks.0.mlp.fc2.weight"]
    gated: dict[str, Any] = {}
    if fc1.shape[0] == 2 * fc2.shape[1]:
        gated = {"mlp_layer": SwiGLUPacked, "act_layer": nn.SiLU}
    pool = "map" if "attn_pool.latent" in state else "token" if "cls_token" in state else "avg"
    return VisionTransformer(
        img_size=patch * math.isqrt(patches),
        patch_size=patch,
        in_chans=channels,
        num_classes=0,
        global_pool="avg" if "fc_norm.weight" in state else pool,
        embed_dim=width,
        depth=depth,
        num_heads=heads,
        mlp_ratio=fc1.shape[0] / width,
        qkv_bias="blocks.0.attn.qkv.bias" in state,
        proj_bias="blocks.0.attn.proj.bias" in state,
        qk_norm="blocks.0.attn.q_norm.weight" in state,
        init_values=1.0 if "blocks.0.ls1.gamma" in state else None,
        class_token="cls_token" in state,
        no_embed_class=not embedded,
        reg_tokens=registers,
        pre_norm="norm_pre.weight" in state,
        fc_norm="fc_norm.weight" in state,
        **gated,
    )


def beside(path: Path) -> dict[str, Any]:
    """What timm's ``config.json`` in the same folder says of normalisation and resizing; ImageNet's if none."""
    config = path.parent / "config.json"
    if not config.is_file():
        return {}
    told = read_json(config, "restore it").get("pretrained_cfg", {})
    seen: dict[str, Any] = {k: tuple(told[k]) for k in ("mean", "std") if k in told}
    if "interpolation" in told:
        seen["interpolation"] = told["interpolation"]
    if "crop_pct" in told:
        seen["crop_fraction"] = told["crop_pct"]
    return seen
