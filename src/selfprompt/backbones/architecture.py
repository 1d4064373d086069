"""The architecture that a file of weights was trained in: what its shapes show, and what is told beside it.

Heads, activation, norm epsilon and pooling show in no weight. They follow from a config.json, or from width and depth
where published models have these; else they are guessed and the guess is said, or the file is refused.
"""

from __future__ import annotations

import math
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
from selfprompt.backbones.told import Told
from selfprompt.backbones.vit import ViT
from selfprompt.errors import UserError, first_line

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


def build(
    state: dict[str, Tensor], path: Path, told: Told, pretraining: Pretraining
) -> tuple[VisionTransformer, str | None]:
    """A VisionTransformer of the shapes that a file's weights have and of what is told, on the meta device.

    With it comes a sentence on what was guessed, if anything was.

    Raises:
        UserError: The shapes are no ViT's, contradict what is told, or leave open what would change every answer.
    """
    with torch.device("meta"):
        if told.architecture is not None:
            ViT(timm.create_model(told.architecture), BackboneInfo(f"{path} ({told.architecture})", "", "unknown", 0))
        known = told.complete or told.architecture is not None
        guess = None
        if known:
            arguments = shown(state, path, told.size)
        else:
            arguments, guess = assumed(state, path, told, pretraining)
        depth = told.arguments.get("depth", arguments["depth"])
        if depth != arguments["depth"]:
            raise UserError(
                f"{path} has {arguments['depth']} blocks and is said to have depth {depth!r:.60}: mend it."
            )
        arguments |= {**told.arguments, "num_classes": 0, "weight_init": "skip"}
        make: Any = VisionTransformer if told.architecture is None else partial(timm.create_model, told.architecture)
        try:
            return make(**arguments), guess
        except Exception as error:  # timm asserts and raises what it likes
            raise UserError(f"{path} and what is said of it fit no ViT ({first_line(error)}): mend it.") from None


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


def assumed(
    state: dict[str, Tensor], path: Path, told: Told, pretraining: Pretraining
) -> tuple[dict[str, Any], str | None]:
    """`shown`, and what shows in no weight: as published models of that width and depth have it, or as is usual.

    With it comes a sentence on what was only guessed.

    Raises:
        UserError: Two activations are as usual as each other (CLIP's), or the MLP is of an unknown kind.
    """
    arguments = shown(state, path, told.size)
    width, depth, said = arguments["embed_dim"], arguments["depth"], {**arguments, **told.arguments}
    how = 'put a config.json beside it, such as {"model_args": {"num_heads": 12, "act_layer": "quick_gelu"}}'
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
        return arguments, None
    guesses = {
        "num_heads": f"{arguments['num_heads']} heads",
        "act_layer": "SwiGLU" if gated else "GELU",
        "norm_layer": f"a norm epsilon of {arguments['norm_layer'].keywords['eps']}",
        "global_pool": f"pooling by {arguments['global_pool']}",
    }
    guess = ", ".join(text for key, text in guesses.items() if key not in said)
    return arguments, f"{path}: assumed {guess}. If wrong, {how}." if guess else None
