"""Names of the transformers library stand for timm's weights of the same origin, or are refused."""

from __future__ import annotations

import re
from typing import Any

import pytest
import timm

import selfprompt as sp
from conftest import TINY
from selfprompt.backbones import timm_hub
from selfprompt.backbones.aliases import ALIASES, WITH_TEXTS, resolve
from selfprompt.backbones.load import info, load_backbone
from selfprompt.errors import UserError
from selfprompt.runs.config import RunConfig

ORIGINS = {
    r"facebook/dinov2-(with-registers-)?(.)": r"dinov2_vit{2}",
    r"facebook/dinov3-.*-(lvd1689m|sat493m)": r"dinov3\.{1}",
    r"facebook/dino-vit([sb])(\d+)": r"dino_(deitsmall|vitbase){2}_pretrain",
    r"facebook/vit-mae-(\w+)": r"mae_pretrain_vit_{1}",
    r"google/vit-(.)\w+-patch(\d+)-(\d+)$": r"jx_vit_\w+_p{2}_{3}",
    r"google/vit-(\w+)-patch(\d+)-224-in21k": r"vit_{1}_patch{2}_224.orig_in21k",
    r"openai/clip-vit-(\w+)-patch(\d+)": r"vit_{1}_patch{2}_clip_\d+.openai",
    r"google/siglip-(\w+)-patch(\d+)": r"vit_{1}_patch{2}_siglip_\d+.webli",
    r"google/siglip2-([^-]+)(?:-opt)?-patch(\d+)": r"vit_{1}\w*_patch{2}_siglip_\d+.v2_webli",
}
"""Patterns of aliases, and what timm says of where such weights come from."""


@pytest.mark.parametrize("name", ALIASES)
def test_timms_own_configuration_bears_the_origin_out(name: str) -> None:
    config = timm.get_pretrained_cfg(ALIASES[name])
    assert config is not None
    assert ALIASES[name] in timm_hub.list_names()
    match, origin = next((found, o) for pattern, o in ORIGINS.items() if (found := re.match(pattern, name)))
    expected = origin.format(name, *match.groups())
    assert re.search(expected, f"{config.url} {config.hf_hub_id}"), (config.url, config.hf_hub_id)
    if side := re.search(r"-(\d{3})\b", name):
        assert int(side[1]) == config.input_size[-1]


def test_an_alias_is_the_backbone_that_it_names(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "facebook/dinov3-vits16-pretrain-lvd1689m"
    known = info(name)
    assert known == info("vit_small_patch16_dinov3.lvd1689m")
    assert known.pretraining == "dino"
    asked = []

    def give(name: str, **rest: Any) -> Any:
        asked.append(name)
        return timm.models.eva.Eva(**TINY)

    monkeypatch.setattr(timm, "create_model", give)
    assert load_backbone(name).info.name == "vit_small_patch16_dinov3.lvd1689m"
    assert set(asked) == {"vit_small_patch16_dinov3.lvd1689m"}


def test_a_run_keeps_the_name_that_it_stands_for(tmp_path) -> None:
    (tmp_path / "one").mkdir()
    config = RunConfig.resolve(str(tmp_path), "facebook/dinov2-small", "vpt")
    assert config.backbone == "vit_small_patch14_dinov2.lvd142m"


def test_both_towers_are_open_clips_where_a_method_needs_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    open_clip = pytest.importorskip("open_clip")
    for name, pair in WITH_TEXTS.items():
        architecture, _, tag = pair.partition(":")[2].partition("/")
        assert tag in open_clip.list_pretrained_tags_by_model(architecture)
        assert resolve(name).startswith("vit_")
        assert resolve(name, texts=True) == pair

    def found(name: str, *rest: Any) -> Any:
        raise UserError(name)

    monkeypatch.setattr("selfprompt.assembly.load_backbone", found)
    for method, own in (("coop", "open_clip:ViT-B-32-quickgelu/openai"), ("vpt", "vit_base_patch32_clip")):
        with pytest.raises(UserError, match=own):
            sp.create_model("openai/clip-vit-base-patch32", method=method, class_names=["one", "two"])


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("facebook/dinov2-bass", "did you mean facebook/dinov2-base"),
        ("google/vit-large-patch16-224", "did you mean .*google/vit-large-patch16-224-in21k"),
        ("facebook/dinov3-convnext-tiny-pretrain-lvd1689m", "facebook/dinov3-vit"),
    ],
)
def test_one_whose_origin_is_not_known_is_refused_with_what_is_near(name: str, near: str) -> None:
    with pytest.raises(UserError, match=near):
        load_backbone(name)
