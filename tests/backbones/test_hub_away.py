"""A hub that does not answer: it is asked once, and what its client would try again and again is not begun."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import HfApi, constants
from huggingface_hub.utils import HfHubHTTPError

from selfprompt.backbones.load import info, load_backbone
from selfprompt.data.sources import load_dataset
from selfprompt.errors import UserError
from selfprompt.hub import away


class Hub:
    """What was asked of it; how it answers."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
        self.asked: list[tuple[str, str]] = []
        self.error: Exception | None = OSError("No route to host\nTry again")
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
        monkeypatch.setattr(HfApi, "repo_info", self.repo_info)

    def repo_info(self, repository: str, *, repo_type: str, timeout: float) -> None:
        self.asked.append((repository, repo_type))
        if self.error:
            raise self.error


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Hub:
    return Hub(monkeypatch, tmp_path / "cache")


@pytest.mark.parametrize(
    ("load", "name", "asked", "extra"),
    [
        (load_backbone, "vit_base_patch16_224.mae", ("timm/vit_base_patch16_224.mae", "model"), "timm"),
        (info, "hf-hub:owner/name", ("owner/name", "model"), "timm"),
        (load_backbone, "text:owner/name", ("owner/name", "model"), "transformers"),
        (load_backbone, "open_clip:ViT-B-32/laion400m_e32", None, "open_clip"),
        (load_dataset, "hf:owner/name", ("owner/name", "dataset"), "datasets"),
    ],
)
def test_it_is_asked_once(
    load: Callable[[str], Any],
    name: str,
    asked: tuple[str, str] | None,
    extra: str,
    hub: Hub,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip(extra)
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(UserError, match=r"could not be had.*\(No route to host\)"):
        load(name)
    assert len(hub.asked) == 1
    assert asked in (None, hub.asked[0])


def test_where_it_answers_or_is_not_needed_its_client_says_what_is_wrong(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert away("owner/name") == "No route to host"
    for error in (None, HfHubHTTPError.__new__(HfHubHTTPError), ValueError("no such name")):
        hub.error = error
        assert away("owner/name") is None
    hub.error, hub.asked = OSError(), []
    (tmp_path / "cache" / "datasets--owner--name").mkdir(parents=True)
    assert away("owner/name", "dataset") is None
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert away("owner/name") is None
    assert hub.asked == []
