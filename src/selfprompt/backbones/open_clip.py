"""open_clip's models as a `DualEncoder` (extra ``clip``)."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import timm.models.vision_transformer as timm_vit
import torch
from timm.layers.create_act import get_act_layer
from timm.models.vision_transformer import Block, VisionTransformer
from torch import Tensor, nn

from selfprompt import registry
from selfprompt.backbones.base import UNEDITED
from selfprompt.backbones.clip import ClipText, DualEncoder, Words
from selfprompt.backbones.info import BackboneInfo
from selfprompt.backbones.metadata import Preprocessing
from selfprompt.backbones.timm_hub import family_of
from selfprompt.backbones.timm_images import what_lacks as what_trunk_lacks
from selfprompt.errors import UserError, first_line
from selfprompt.files import checked as valid
from selfprompt.hub import away
from selfprompt.inputs import Text

PREFIX = "open_clip:"
CONFIG = "open_clip_config.json"
WEIGHTS = "open_clip_model.safetensors"
MERGES = "bpe.txt.gz"
LOCAL = Path("~/.cache/clip")
"""Where open_clip keeps weights that are not the hub's."""
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
"""CLIP's own, where a model says nothing."""
ACTIVATIONS = {"QuickGELU": "quick_gelu", "GELU": "gelu"}
BLOCK_NAMES = {
    "ln_1": "norm1",
    "attn.in_proj_": "attn.qkv.",
    "attn.out_proj": "attn.proj",
    "ls_1": "ls1",
    "ln_2": "norm2",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
    "ls_2": "ls2",
}
"""Parts of a block, in open_clip and in timm."""


def load_open_clip(name: str) -> DualEncoder:
    """A model by ``NAME/TAG`` of open_clip's list, ``NAME/FILE`` with its weights, or a folder of open_clip's format.

    Raises:
        UserError: open_clip is not installed, has no such model or weights, or the model cannot be prompted.
    """
    if not registry.installed("open_clip"):
        raise UserError("open_clip models need open_clip: pip install 'selfprompt[clip]'.")
    import open_clip

    source = name.removeprefix(PREFIX)
    if Path(source).is_dir():
        return from_folder(Path(source), name)
    architecture, _, tag = source.partition("/")
    if Path(tag).is_file() and architecture in open_clip.list_models():
        tag = str(Path(tag).absolute())
        name = f"{PREFIX}{architecture}/{tag}"
    elif not tag or tag not in open_clip.list_pretrained_tags_by_model(architecture):
        known = open_clip.list_pretrained_tags_by_model(architecture)
        tags = f"one of {', '.join(known)}" if known else "a model of open_clip.list_pretrained()"
        raise UserError(
            f"{name} is no model of open_clip with weights: write open_clip:NAME/TAG, {tags}, or open_clip:NAME/FILE."
        )
    listed = {} if Path(tag).is_file() else open_clip.get_pretrained_cfg(architecture, tag)
    repository = listed.get("hf_hub", "").rpartition("/")[0]
    if repository and not LOCAL.expanduser().is_dir() and (why := away(repository)):
        raise UserError(
            f"{name} could not be had from the hub ({why}): check the network, or give open_clip:NAME/FILE."
        )
    try:
        model = open_clip.create_model(architecture, pretrained=tag, require_pretrained=True)
        tokenizer = open_clip.get_tokenizer(architecture)
    except Exception as error:  # whatever the hub or the file raises
        raise UserError(f"{name} cannot be loaded ({first_line(error)[:200]}).") from error
    return wrap(model, tokenizer, name, getattr(model.visual, "preprocess_cfg", {}), architecture)


def from_folder(folder: Path, name: str) -> DualEncoder:
    """A model in a folder: `CONFIG`, `WEIGHTS`, and `MERGES` if it has them."""
    import open_clip

    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        model = open_clip.create_model(f"local-dir:{folder}", require_pretrained=True)
        merges, length = folder / MERGES, config["model_cfg"]["text_cfg"].get("context_length", 77)
        path = os.fspath(merges) if merges.exists() else open_clip.tokenizer.default_bpe()
        tokenizer = open_clip.SimpleTokenizer(path, context_length=length)
    except Exception as error:  # whatever a damaged file raises
        raise UserError(f"{folder} is no folder of an open_clip model ({first_line(error)[:200]}).") from error
    return wrap(model, tokenizer, name, config.get("preprocess_cfg", {}), folder.name)


def wrap(
    model: Any, tokenizer: Any, name: str, preprocess: Mapping[str, Any], architecture: str = "CLIP"
) -> DualEncoder:
    """An open_clip model as towers; the model stays as it is.

    Args:
        model: Of class CLIP or CustomTextCLIP.
        tokenizer: Its own.
        name: What finds it again.
        preprocess: mean, std, interpolation, as open_clip has them.
        architecture: Its name for people.

    Raises:
        UserError: A tower is of a kind that cannot be prompted, its features are not the model's own or not finite,
            or the tokenizer or the preprocessing does not fit.
    """
    text = getattr(model, "text", model)
    if lacking := what_lacks(model, text):
        raise UserError(f"{name} cannot be prompted: {lacking}.")
    given = {k: v for k, v in preprocess.items() if (k, v) != ("interpolation", "random")}  # which is for training
    seen = valid(given, Preprocessing, f"The preprocess_cfg of {name}", "fix or delete it")
    vit, projection = image_parts(model)
    info = BackboneInfo(
        name,
        architecture,
        "clip",
        vit.patch_embed.img_size[0],
        seen.mean or MEAN,
        seen.std or STD,
        seen.interpolation or "bicubic",
    )
    positions = text.positional_embedding.detach().float().clone()
    blocks = nn.ModuleList(text_block(block) for block in text.transformer.resblocks)
    embedding = nn.Embedding.from_pretrained(text.token_embedding.weight.detach().float().clone())
    words = words_of(tokenizer)
    if words.largest >= embedding.num_embeddings:
        raise UserError(
            f"{name} has {embedding.num_embeddings:,} words, and its tokenizer gives ids up to {words.largest:,}: "
            f"give its own (in a folder, {MERGES} or tokenizer files)."
        )
    tower = ClipText(embedding, positions, blocks, norm_of(text.ln_final), linear(text.text_projection), words, info)
    return checked(DualEncoder(family_of(vit)(vit, info, projection), tower, model.logit_scale.detach()), model, text)


def what_lacks(model: Any, text: Any) -> str | None:
    """Why a model cannot be prompted; None if it can."""
    visual = model.visual
    if not hasattr(text, "token_embedding") or getattr(text, "cls_emb", None) is not None:
        return f"its text tower is a {type(text).__name__}, not a causal transformer that ends in an end token"
    if text.attn_mask is None:
        return "its texts are not read causally, up to an end token"
    if (getattr(text, "pool_type", None) or text.text_pool_type) not in ("argmax", "eos"):
        return "its texts are not read at their end token"
    trunk = getattr(visual, "trunk", None)
    if trunk is not None and what_trunk_lacks(trunk, family_of(trunk)):
        return f"its image tower is a {type(trunk).__name__}, not a plain vision transformer"
    if trunk is None and not hasattr(visual, "class_embedding"):
        return f"its image tower is a {type(visual).__name__}, not a plain vision transformer"
    if trunk is None and (visual.attn_pool is not None or visual.final_ln_after_pool):
        return "its image tower pools in another way than a plain vision transformer"
    towers = [text.transformer] if trunk is not None else [text.transformer, visual.transformer]
    for block in (block for tower in towers for block in tower.resblocks):
        if type(block).__name__ != "ResidualAttentionBlock" or not hasattr(block.attn, "in_proj_weight"):
            return f"a block is a {type(block).__name__} whose branches are of another kind"
        if type(block.mlp.gelu).__name__ not in ACTIVATIONS:
            return f"its activation is {type(block.mlp.gelu).__name__}"
    return None


def image_parts(model: Any) -> tuple[Any, nn.Linear | None]:
    """The image tower as timm's VisionTransformer, and its projection."""
    visual = model.visual
    if (trunk := getattr(visual, "trunk", None)) is not None:
        proj = getattr(visual.head, "proj", None)
        return trunk, proj if isinstance(proj, nn.Linear) else None
    first = visual.transformer.resblocks[0]
    norm: Any = partial(nn.LayerNorm, eps=visual.ln_post.eps)
    vit = VisionTransformer(
        img_size=visual.image_size,
        patch_size=visual.patch_size,
        embed_dim=visual.conv1.out_channels,
        depth=len(visual.transformer.resblocks),
        num_heads=first.attn.num_heads,
        mlp_ratio=first.mlp.c_fc.out_features / visual.conv1.out_channels,
        num_classes=visual.proj.shape[1],
        global_pool="token" if visual.pool_type == "tok" else "avg",
        fc_norm=False,
        pre_norm=not isinstance(visual.ln_pre, nn.Identity),
        norm_layer=norm,
        act_layer=ACTIVATIONS[type(first.mlp.gelu).__name__],
        init_values=None if isinstance(first.ls_1, nn.Identity) else 1.0,
    )
    state = {k: v.detach().float() for k, v in model.state_dict().items() if k.startswith("visual.")}
    known = timm_vit.checkpoint_filter_fn(state, vit)
    embed: Any = vit.patch_embed.proj
    if embed.bias is not None:  # without a norm before the blocks, timm's has one
        known["patch_embed.proj.bias"] = torch.zeros_like(embed.bias)
    known.setdefault("head.bias", torch.zeros(visual.proj.shape[1]))
    vit.load_state_dict(known)
    return vit, linear(visual.proj)


def text_block(block: Any) -> Block:
    """A block of open_clip's as one of timm's."""
    width, scaled = block.ln_1.normalized_shape[0], not isinstance(block.ls_1, nn.Identity)
    norm: Any = partial(nn.LayerNorm, eps=block.ln_1.eps)
    activation: Any = get_act_layer(ACTIVATIONS[type(block.mlp.gelu).__name__])
    made = Block(
        width,
        block.attn.num_heads,
        mlp_ratio=block.mlp.c_fc.out_features / width,
        qkv_bias=True,
        init_values=1.0 if scaled else None,
        act_layer=activation,
        norm_layer=norm,
    )
    made.load_state_dict({timm_key(k): v.detach().float() for k, v in block.state_dict().items()})
    return made


def timm_key(key: str) -> str:
    """A parameter of a block of open_clip's, as timm calls it."""
    old = next(name for name in BLOCK_NAMES if key.startswith(name))
    return BLOCK_NAMES[old] + key.removeprefix(old)


def norm_of(norm: Any) -> nn.LayerNorm:
    """A copy of a norm, as torch's own."""
    made = nn.LayerNorm(norm.normalized_shape, eps=norm.eps)
    made.load_state_dict({k: v.detach().float() for k, v in norm.state_dict().items()})
    return made


def linear(projection: Any) -> nn.Linear | None:
    """A projection (in, out), or a linear layer, as a linear layer of its own."""
    if projection is None:
        return None
    if isinstance(projection, nn.Linear):
        made = nn.Linear(projection.in_features, projection.out_features, projection.bias is not None)
        made.load_state_dict({k: v.detach().float() for k, v in projection.state_dict().items()})
        return made
    made = nn.Linear(*projection.shape, bias=False)
    made.weight.data = projection.detach().float().T.contiguous()
    return made


def words_of(tokenizer: Any) -> Words:
    """A tokenizer of open_clip's, or one of Hugging Face's that it wraps."""
    if (inner := getattr(tokenizer, "tokenizer", None)) is not None:
        vocabulary = inner.get_vocab()
        clean = tokenizer.clean_fn
        encode = partial(encode_with, inner, clean)
        start, end = inner.bos_token_id, inner.eos_token_id
    else:
        vocabulary, clean = tokenizer.encoder, tokenizer.clean_fn
        encode = partial(encode_plain, tokenizer, clean)
        start, end = tokenizer.sot_token_id, tokenizer.eot_token_id
    listed = json.dumps(sorted(vocabulary.items()), ensure_ascii=True)
    hashed, largest = hashlib.sha256(listed.encode()).hexdigest(), max(vocabulary.values())
    return Words(encode, partial(decode, inner or tokenizer), start, end, hashed, largest)


def encode_with(inner: Any, clean: Any, text: str) -> list[int]:
    """Ids by a tokenizer of Hugging Face's."""
    return list(inner(clean(text), add_special_tokens=False).input_ids)


def decode(tokenizer: Any, token: int) -> str:
    """What a token stands for."""
    return str(tokenizer.decode([token])).strip()


def encode_plain(tokenizer: Any, clean: Any, text: str) -> list[int]:
    """Ids by open_clip's own."""
    return list(tokenizer.encode(clean(text)))


@torch.no_grad()
def checked(dual: DualEncoder, model: Any, text: Any) -> DualEncoder:
    """The towers, once their features are the model's own, on two random images and two texts.

    Raises:
        UserError: They are not.
    """
    for part, weight in model.named_parameters():
        if not weight.isfinite().all():
            raise UserError(f"{dual.info.name} has a weight {part} that is NaN or infinite: get it again.")
    generator = torch.Generator().manual_seed(0)
    was, _ = model.training, model.eval()
    weight = next(model.parameters())
    side = dual.info.image_size
    images = torch.randn(2, 3, side, side, generator=generator)  # type: ignore[arg-type]
    length, end = len(dual.text.positions), dual.text.words.end
    ids = torch.randint(1, end - 1, (2, length), generator=generator)
    ids[:, 0], ids[0, length // 2], ids[1, -1] = dual.text.words.start, end, end
    ids[0, length // 2 + 1 :] = 0
    at = torch.tensor([length // 2, length - 1])
    try:
        own = model.encode_image(images.to(weight)), model.encode_text(ids.to(weight.device))
    finally:
        model.train(was)
    given = Text(ids, torch.ones_like(ids, dtype=torch.bool), at)
    ours = (
        dual.image.readout(dual.image.run(images, UNEDITED)),
        dual.text.readout(dual.text.run(given, UNEDITED)),
    )
    for tower, (a, b) in zip(("image", "text"), zip(own, ours)):
        if not differs_little(a.float().cpu(), b, weight.dtype):
            raise UserError(
                f"{dual.info.name} computes more than is known here: its {tower} features are not its own."
            )
    return dual


def differs_little(own: Tensor, ours: Tensor, dtype: torch.dtype) -> bool:
    """Whether features are the same but for the rounding of what computed them, or of weights in half precision."""
    allowed = max(1e-3, 4 * torch.finfo(dtype).eps)
    return own.shape == ours.shape and bool((own - ours).norm() <= allowed * own.norm())


def imagenet_templates() -> tuple[str, ...]:
    """The 80 texts of CLIP's zero-shot classifier of ImageNet; {} is the name."""
    import open_clip

    return tuple(template("{}") for template in open_clip.OPENAI_IMAGENET_TEMPLATES)


def imagenet_names() -> tuple[str, ...]:
    """CLIP's names of ImageNet's classes."""
    import open_clip

    return tuple(open_clip.IMAGENET_CLASSNAMES)
