"""The architecture that a file of weights was trained in: what shapes show, what timm's config.json beside it says.

Heads, activation, norm epsilon and pooling show in no weight. They follow from a config.json, or from width and depth
where published models have these; else they are guessed and the guess is said, or the file is refused.
"""

from __future__ import annotations

import json
import logging
import math
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import timm
import torch
from timm.layers.mlp import SwiGLUPacked
from timm.layers.norm import LayerNorm
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from selfprompt.backbones.info import BackboneInfo, Pretraining
from selfprompt.backbones.timm_hub import kind_of
from selfprompt.backbones.vit import ViT
from selfprompt.errors import UserError, first_line

logger = logging.getLogger("selfprompt")

HEADS = {
    (192, 12): 3,
    (384, 12): 6,
    (768, 12): 12,
    (1024, 24): 16,
    (1152, 27): 16,
    (1280, 32): 16,
    (1408, 40): 16,
    (1536, 40): 24,
    (1664, 48): 16,
}
"""Heads by width and depth, as published: ViT-Ti, S, B, L, so400m, H, g (Zhai et al.), g (DINOv2) and G."""

OTHER_NAMES = {"num_attention_heads": "num_heads", "hidden_act": "act_layer"}
"""What transformers' config.json calls timm's arguments."""


@dataclass(frozen=True)
class Told:
    """What a config.json says.

    Args:
        architecture: timm's name; None if there is none.
        arguments: Of timm's VisionTransformer.
        seen: Fields of `BackboneInfo`: normalisation and resizing.
        pretraining: What the tag tells.
        sizes: (H, W) of the input, if said.
    """

    architecture: str | None = None
    arguments: dict[str, Any] = field(default_factory=dict)
    seen: dict[str, Any] = field(default_factory=dict)
    pretraining: Pretraining = "unknown"
    size: tuple[int, int] | None = None


def read_beside(path: Path, name: Any = None) -> Told:
    """What ``config.json`` in the file's folder says (timm's; of transformers' the same facts under its names).

    Args:
        path: The file of weights.
        name: The architecture that the file itself names, as timm's training script writes it.

    Raises:
        UserError: The config.json is damaged.
    """
    config_file = path.parent / "config.json"
    try:
        config = json.loads(config_file.read_text(encoding="utf-8")) if config_file.is_file() else {}
        own = config.get("pretrained_cfg") or config
        arguments = {timms: config[k] for k, timms in OTHER_NAMES.items() if k in config}
        if config.get("global_pool"):
            arguments["global_pool"] = config["global_pool"]
        arguments |= config.get("model_args") or {}
        if (eps := arguments.pop("layer_norm_eps", config.get("layer_norm_eps"))) is not None:
            arguments["norm_layer"] = partial(LayerNorm, eps=float(eps))
        seen: dict[str, Any] = {k: tuple(own[k]) for k in ("mean", "std") if k in own}
        seen |= {"interpolation": own["interpolation"]} if "interpolation" in own else {}
        seen |= {"crop_fraction": own["crop_pct"]} if "crop_pct" in own else {}
        seen |= {"resize": "squash"} if own.get("crop_mode") == "squash" else {}
        name = config.get("architecture") or own.get("architecture") or name
        size = arguments.pop("img_size", None) or (own.get("input_size") or (None,))[1:]
        size = (size, size) if isinstance(size, int) else tuple(size) or None
        known = name if isinstance(name, str) and timm.is_model(name) else None
        return Told(known, arguments, seen, kind_of(own.get("tag") or "", known or ""), size)
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise UserError(f"{config_file} is not timm's ({first_line(error)}): mend or remove it.") from None


def build(state: dict[str, Tensor], path: Path, told: Told, pretraining: Pretraining) -> VisionTransformer:
    """A VisionTransformer, its weights still to be loaded, of the shapes that a file's have and of what is told.

    Raises:
        UserError: The shapes are no ViT's, contradict what is told, or leave open what would change every answer.
    """
    if told.architecture is not None:
        with torch.device("meta"):
            ViT(timm.create_model(told.architecture), BackboneInfo(f"{path} ({told.architecture})", "", "unknown", 0))
        arguments = shown(state, path, told.size) | told.arguments
    else:
        arguments = assumed(state, path, told, pretraining) | told.arguments
    arguments["num_classes"] = 0
    try:
        make: Any = VisionTransformer if told.architecture is None else partial(timm.create_model, told.architecture)
        return make(**arguments)
    except Exception as error:  # timm asserts and raises what it likes
        raise UserError(f"{path} and what config.json says beside it fit no ViT ({first_line(error)}).") from None


def shown(state: dict[str, Tensor], path: Path, size: tuple[int, int] | None) -> dict[str, Any]:
    """The arguments of a VisionTransformer that show in its weights.

    Raises:
        UserError: The number of position embeddings is neither that of the size told nor a square.
    """
    width, channels, height, _ = state["patch_embed.proj.weight"].shape
    registers = state["reg_token"].shape[1] if "reg_token" in state else 0
    prefix = ("cls_token" in state) + registers
    length = state["pos_embed"].shape[1] if "pos_embed" in state else 0
    grid = (size[0] // height, size[1] // height) if size else (0, 0)
    if not math.prod(grid) or math.prod(grid) not in (length, length - prefix):
        sides = [math.isqrt(n) for n in (max(0, length - prefix), length) if math.isqrt(max(0, n)) ** 2 == n > 0]
        if not sides:
            raise UserError(f"{path} has {length} position embeddings, which are no square of patches.")
        grid = (sides[0], sides[0])
    arguments: dict[str, Any] = {
        "img_size": (height * grid[0], height * grid[1]),
        "patch_size": height,
        "in_chans": channels,
        "embed_dim": width,
        "depth": 1 + max(int(k.split(".")[1]) for k in state if k.startswith("blocks.")),
        "qkv_bias": "blocks.0.attn.qkv.bias" in state,
        "proj_bias": "blocks.0.attn.proj.bias" in state,
        "qk_norm": "blocks.0.attn.q_norm.weight" in state,
        "init_values": 1.0 if "blocks.0.ls1.gamma" in state else None,
        "class_token": "cls_token" in state,
        "no_embed_class": math.prod(grid) != length - prefix,
        "reg_tokens": registers,
        "pre_norm": "norm_pre.weight" in state,
        "fc_norm": "fc_norm.weight" in state,
    }
    if "blocks.0.mlp.fc1.weight" in state:
        arguments["mlp_ratio"] = (state["blocks.0.mlp.fc1.weight"].shape[0] + 0.5) / width  # timm rounds down
    if arguments["qk_norm"]:
        arguments["num_heads"] = width // len(state["blocks.0.attn.q_norm.weight"])
    if "attn_pool.latent" in state:
        arguments["global_pool"] = "map"
    elif arguments["fc_norm"] or not arguments["class_token"]:
        arguments["global_pool"] = "avg"
    return arguments


def assumed(state: dict[str, Tensor], path: Path, told: Told, pretraining: Pretraining) -> dict[str, Any]:
    """`shown`, and what shows in no weight: as published models of that width and depth have it, or as is usual.

    Raises:
        UserError: Two activations are as usual as each other (CLIP's), or the MLP is of an unknown kind.
    """
    arguments = shown(state, path, told.size)
    width, depth, said = arguments["embed_dim"], arguments["depth"], {**arguments, **told.arguments}
    how = 'put timm\'s config.json beside it, such as {"model_args": {"num_heads": 12, "act_layer": "quick_gelu"}}'
    if arguments["pre_norm"] and "act_layer" not in said:
        raise UserError(f"{path} is laid out as CLIP's, with GELU or QuickGELU, which no weight tells: {how}.")
    if "blocks.0.mlp.fc1.weight" not in state or "blocks.0.mlp.fc2.weight" not in state:
        raise UserError(f"{path} has an MLP of an unknown kind: {how}.")
    heads = 12 if pretraining == "mocov3" else HEADS.get((width, depth), max(1, width // 64))
    arguments = {"num_heads": heads} | arguments
    arguments["global_pool"] = said.get("global_pool", "token")
    if gated := state["blocks.0.mlp.fc1.weight"].shape[0] == 2 * state["blocks.0.mlp.fc2.weight"].shape[1]:
        arguments |= {"mlp_layer": SwiGLUPacked, "act_layer": nn.SiLU}
    arguments["norm_layer"] = partial(LayerNorm, eps=1e-5 if arguments["pre_norm"] else 1e-6)
    usual = arguments["class_token"] and arguments["qkv_bias"] and not arguments["pre_norm"] and not gated
    if pretraining == "mocov3" or ((usual or pretraining == "dino") and (width, depth) in HEADS):
        return arguments
    guesses = {
        "num_heads": f"{arguments['num_heads']} heads",
        "act_layer": "SwiGLU" if gated else "GELU",
        "norm_layer": f"a norm epsilon of {arguments['norm_layer'].keywords['eps']}",
        "global_pool": f"pooling by {arguments['global_pool']}",
    }
    if guess := ", ".join(text for key, text in guesses.items() if key not in said):
        logger.warning("%s: no weight tells what is taken here as usual: %s. If that is wrong, %s.", path, guess, how)
    return arguments
