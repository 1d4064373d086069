"""The backbone that nobody named: a general one for images of the user's own, or the built-in one, as a line says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import timm
from huggingface_hub import HfApi, constants

from selfprompt.backbones.timm_hub import PATIENCE, hub_id
from selfprompt.errors import UserError
from selfprompt.methods import packaged_for
from selfprompt.runs.config import RunConfig
from selfprompt.runs.unnamed import GENERAL, SIDE


class Hub:
    """What was asked of it, and how patiently."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, cache: Path, answers: bool = True) -> None:
        self.asked: list[tuple[str, float]] = []
        self.answers = answers
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
        monkeypatch.setattr(HfApi, "model_info", self.model_info)

    def model_info(self, name: str, *, timeout: float, **rest: Any) -> None:
        self.asked.append((name, timeout))
        if not self.answers:
            raise OSError("No route to host")


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Hub:
    return Hub(monkeypatch, tmp_path / "cache")


def cached(cache: Path) -> None:
    """The hub's cache with the weights, as the hub's client keeps them."""
    there = cache / f"models--timm--{GENERAL}"
    (there / "refs").mkdir(parents=True)
    (there / "refs" / "main").write_text("abc", encoding="utf-8")
    (there / "snapshots" / "abc").mkdir(parents=True)
    (there / "snapshots" / "abc" / "model.safetensors").touch()


@pytest.mark.parametrize("backbone", [None, "auto"])
def test_images_of_ones_own_are_given_a_general_backbone(
    backbone: str | None, hub: Hub, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = RunConfig.resolve(str(folder), backbone, "vpt")
    assert (config.backbone, config.protocol.side) == (GENERAL, SIDE)  # resolved, as run.json has it
    assert hub.asked == [(hub_id(GENERAL), PATIENCE)]
    assert f"{GENERAL} is used at 224 pixels" in caplog.text
    assert RunConfig.resolve(str(folder), backbone, "vpt", image_size=112).protocol.side == 112


def test_what_is_in_the_cache_is_taken_without_the_hub(
    hub: Hub, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cached(tmp_path / "cache")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert RunConfig.resolve(str(folder), method="vpt").backbone == GENERAL
    assert hub.asked == []


@pytest.mark.parametrize("offline", [True, False])
def test_out_of_reach_it_is_the_built_in_one_and_a_line_says_what_is_better(
    offline: bool, hub: Hub, folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    hub.answers = False
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", offline)
    assert RunConfig.resolve(str(folder), method="vpt").backbone == "builtin"
    why = "HF_HUB_OFFLINE is set" if offline else "No route to host"
    assert f"{GENERAL} cannot be had ({why}), so builtin is used" in caplog.text
    assert "better is --backbone NAME or FILE" in caplog.text
    assert len(hub.asked) == (not offline)


@pytest.mark.parametrize("data", [None, "mnist5k", "name:digits"])
def test_the_examples_stay_on_the_packaged_one(data: str | None, hub: Hub, caplog: pytest.LogCaptureFixture) -> None:
    assert RunConfig.resolve(data, method="vpt").backbone == "builtin"
    assert hub.asked == []
    assert caplog.text == ""


def test_a_backbone_that_is_named_is_taken_silently(hub: Hub, folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert RunConfig.resolve(str(folder), "builtin", "vpt").backbone == "builtin"
    assert hub.asked == []
    assert caplog.text == ""


def test_classes_as_texts_are_told_of_a_better_pair(hub: Hub, folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    pytest.importorskip("open_clip")
    assert RunConfig.resolve(str(folder), method="coop").backbone == "builtin-clip"
    assert "better is --backbone open_clip:ViT-B-16/openai" in caplog.text
    assert hub.asked == []


def test_data_that_are_not_there_are_refused_before_the_hub_is_asked(hub: Hub) -> None:
    with pytest.raises(UserError, match="no folder or data set"):
        RunConfig.resolve("nowhere", method="vpt")
    assert hub.asked == []


def test_the_general_one_may_be_used_by_anybody() -> None:
    config = timm.get_pretrained_cfg(GENERAL)
    assert config is not None
    assert config.license == "apache-2.0"


def test_methods_that_are_compared_share_a_packaged_backbone() -> None:
    assert packaged_for(["vpt", "linear"]) == "builtin"
    assert packaged_for(["linear", "coop:num_prompts=4"]) == "builtin-clip"
    assert packaged_for(["ipt", "linear"]) == "builtin-text"
