"""Tiny random backbones and images; nothing here reads the network."""

from __future__ import annotations

import os
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import checked_shapes  # noqa: F401

# isort: split
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from timm.models import beit, eva
from timm.models.vision_transformer import VisionTransformer

import selfprompt as sp
from selfprompt.backbones import load
from selfprompt.backbones.base import UNEDITED, Backbone, Context, Tokens
from selfprompt.backbones.info import BackboneInfo, Pretraining
from selfprompt.backbones.timm_hub import family_of
from selfprompt.backbones.timm_images import TimmImages
from selfprompt.methods import make_method
from selfprompt.model import PromptedModel

torch.set_num_threads(1)

MADE = {name: make_method(name) for name in sp.list_methods()}
METHODS = [name for name, method in MADE.items() if method.head() != "class_text" and not method.texts]
"""The methods of a backbone of images that has no texts, found by themselves."""
PROMPTED = [name for name in METHODS if "num_prompts" in sp.describe(name).factory.model_fields]
"""Those with prompts."""

TINY: dict[str, Any] = {
    "img_size": 32,
    "patch_size": 8,
    "embed_dim": 32,
    "depth": 3,
    "num_heads": 2,
    "num_classes": 0,
}

KINDS: dict[str, dict[str, Any]] = {
    "class token": {},
    "registers": {"reg_tokens": 3, "no_embed_class": True},
    "LayerScale and qk-norm": {"init_values": 0.5, "qk_norm": True},
    "no class token": {"class_token": False, "global_pool": "avg"},
    "average after the norm": {"global_pool": "avg", "fc_norm": False},
    "pre-norm": {"pre_norm": True},
    "attention pooling": {"class_token": False, "global_pool": "map"},
    "no qkv bias": {"qkv_bias": False},
    "dynamic size": {"dynamic_img_size": True},
    "rotary": {
        "family": eva.Eva,
        "num_reg_tokens": 2,
        "use_abs_pos_emb": False,
        "use_rot_pos_emb": True,
        "rope_type": "dinov3",
        "rope_rotate_half": True,
        "dynamic_img_size": True,
        "init_values": 0.5,
        "global_pool": "token",
    },
    "rotary, each block its own": {
        "family": eva.Eva,
        "use_rot_pos_emb": True,
        "rope_type": "mixed",
        "qkv_fused": False,
        "scale_attn_inner": True,
    },
    "relative positions": {"family": beit.Beit, "use_rel_pos_bias": True, "init_values": 0.5},
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The slow ones are begun first."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Of several workers, the one that is done takes over from the others, so that all end together."""
    from xdist.scheduler import WorkStealingScheduling

    return WorkStealingScheduling(config, log) if config.getvalue("dist") == "load" else None


def make_backbone(kind: str = "class token", seed: int = 0, pretraining: Pretraining = "unknown") -> TimmImages:
    """A random ViT whose every weight differs from its default, so that no term is lost in zeros or ones."""
    torch.manual_seed(seed)
    options = {"family": VisionTransformer, **TINY, **KINDS[kind]}
    vit = options.pop("family")(**options)
    for parameter in vit.parameters():
        parameter.data += 0.2 * torch.randn_like(parameter)
    return family_of(vit)(vit, BackboneInfo(f"tiny {kind}", "tiny", pretraining, 32))


def plain_blocks(vit: Any, images: torch.Tensor) -> tuple[torch.Tensor, list[Callable[[torch.Tensor], torch.Tensor]]]:
    """What enters a model's first block, and its own blocks; positions leave all but the last tokens as they are."""
    patches = vit.patch_embed(images)
    if isinstance(vit, beit.Beit):
        x = torch.cat([vit.cls_token.expand(len(images), -1, -1), patches], dim=1) + vit.pos_embed
        return x, [partial(with_room, block) for block in vit.blocks]
    x = vit._pos_embed(patches)
    x, rope = x if isinstance(vit, eva.Eva) else (x, None)
    blocks = list(vit.blocks)
    if rope is not None:
        count = rope.shape[-2]
        blocks = [
            partial(turned, block, rope=rope[i] if vit.rope_mixed else rope, count=count)
            for i, block in enumerate(blocks)
        ]
    return vit.norm_pre(x), blocks


def turned(block: Any, x: torch.Tensor, rope: torch.Tensor, count: int) -> torch.Tensor:
    """A block of Eva's, told that all but ``count`` tokens are prefix."""
    was, block.attn.num_prefix_tokens = block.attn.num_prefix_tokens, x.shape[1] - count
    out = block(x, rope=rope)
    block.attn.num_prefix_tokens = was
    return out


def with_room(block: Any, x: torch.Tensor) -> torch.Tensor:
    """A block of Beit's, whose relative positions are 0 where prompts stand."""
    own = block.attn._get_rel_pos_bias()
    extra = x.shape[1] - own.shape[-1]
    at = torch.cat([torch.zeros(1), torch.full((extra,), -1), torch.arange(1, own.shape[-1])]).long()
    bias = own[..., at, :][..., at] * (at >= 0) * (at >= 0)[:, None]
    block.attn._get_rel_pos_bias = lambda: bias
    try:
        return block(x)
    finally:
        del block.attn._get_rel_pos_bias


def entering(backbone: Backbone, images: torch.Tensor) -> Tokens:
    """What enters block 0."""
    return backbone.run(images, UNEDITED, blocks=0)


def edited(model: PromptedModel, i: int, images: torch.Tensor) -> torch.Tensor:
    """What block i makes of the tokens that enter block 0, as the model's insertion edits it."""
    backbone = model.backbone
    edit = model.insertion.edit(backbone, i, Context(images, backbone.content(images)))
    return backbone.block(i, entering(backbone, images), edit).x


@pytest.fixture(autouse=True)
def loaded_anew() -> None:
    for loader in (load.packaged, load.from_file, load.from_timm):
        loader.cache_clear()


@pytest.fixture(params=KINDS)
def backbone(request: pytest.FixtureRequest) -> TimmImages:
    return make_backbone(request.param)


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def write_image(path: Path, label: int, index: int, size: int = 40) -> None:
    """A picture that tells its label: a square whose corner and colour depend on it."""
    rng = np.random.default_rng((label, index))
    pixels = rng.integers(0, 90, (size, size, 3), dtype=np.uint8)
    row, column = divmod(label % 4, 2)
    half = size // 2
    pixels[row * half : (row + 1) * half, column * half : (column + 1) * half, label % 3] += 150
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A flat folder of three classes, ten images each."""
    for label, name in enumerate(("ant", "bee", "cow")):
        for index in range(10):
            write_image(tmp_path / "data" / name / f"{index}.png", label, index)
    return tmp_path / "data"


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A weights file of a tiny ViT in the MAE layout."""
    path = tmp_path_factory.mktemp("weights") / "mae.pth"
    torch.manual_seed(0)
    torch.save({"model": VisionTransformer(**{**TINY, "embed_dim": 64, "num_heads": 1}).state_dict()}, path)
    return path


HOLD = """
import sys, time
from pathlib import Path
from selfprompt.files import claimed, only_one
path = Path(sys.argv[1])
with only_one(path.with_name(f".{path.name}.lock"), path) if sys.argv[2] else claimed(path):
    print("held", flush=True)
    time.sleep(600)
"""


@contextmanager
def held(path: Path, file: bool = False) -> Iterator[None]:
    """Another process at work in a folder, or on a file, that is killed in the end."""
    command = [sys.executable, "-c", HOLD, str(path), "file" if file else ""]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    try:
        yield
    finally:
        process.kill()
        process.communicate()


@pytest.fixture
def call(monkeypatch, capsys) -> Callable[..., tuple[int, str, str]]:
    """Give a command; returns its exit status and what it said on both outputs."""

    from selfprompt import cli

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["selfprompt", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            cli.main()
        said = capsys.readouterr()
        return stop.value.code, said.out, said.err  # type: ignore[return-value]

    return run


@pytest.fixture
def works(call) -> Callable[..., str]:
    """Give a command that is done; returns its result."""

    def run(*arguments: object) -> str:
        code, out, errors = call(*arguments)
        assert code == 0, errors
        return out

    return run


@pytest.fixture
def fails(call) -> Callable[..., str]:
    """Give a command that is refused in one sentence; returns what it said."""

    def run(*arguments: object) -> str:
        code, out, errors = call(*arguments)
        assert code == 2, errors
        assert out == ""
        assert errors.count("error: ") == 1
        return errors

    return run


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, weights: Path) -> Path:
    """A run of one epoch on two classes, its data beside it."""
    from selfprompt.runs.config import RunConfig
    from selfprompt.runs.tune import tune

    root = tmp_path_factory.mktemp("finished")
    for label, name in enumerate(("ant", "bee")):
        for index in range(10):
            write_image(root / "data" / name / f"{index}.png", label, index)
    recipe = {"epochs": 1, "batch_size": 8}
    config = RunConfig.resolve(
        str(root / "data"), str(weights), "spt", fields={"num_prompts": 2}, recipe=recipe, probe=False
    )
    tune(config, root / "run", command="selfprompt tune data")
    return root / "run"


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    """A copy of it, to be changed."""
    return shutil.copytree(finished, tmp_path / "run")
