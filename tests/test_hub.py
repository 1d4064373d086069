"""push_to_hub uploads the adapter's three files, through huggingface_hub's mixin."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import HfApi
from huggingface_hub.utils import filter_repo_objects

from conftest import make_backbone
from selfprompt.model import PromptedModel, create_model, load


def test_push_to_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[str] = []

    class Repo:
        repo_id = "me/birds"

    def upload_folder(self: HfApi, *, folder_path: str, **rest: Any) -> str:
        sent.extend(sorted(p.name for p in Path(folder_path).iterdir()))
        return "commit"

    monkeypatch.setattr(HfApi, "create_repo", lambda self, **rest: Repo())
    monkeypatch.setattr(HfApi, "upload_folder", upload_folder)
    model = create_model(make_backbone(), "vpt", num_classes=2, num_prompts=2)
    model.initialize()
    assert model.push_to_hub("me/birds") == "commit"
    assert sent == ["README.md", "adapter_config.json", "adapter_model.safetensors"]
    assert model._hub_mixin_info.repo_url is None  # no registry is named as the project's home


def test_from_pretrained_is_load(tmp_path: Path) -> None:
    model = create_model(make_backbone(), "vpt", num_classes=2, num_prompts=2)
    model.initialize()
    model.save_pretrained(tmp_path)
    assert isinstance(PromptedModel.from_pretrained(tmp_path, backbone=make_backbone()), PromptedModel)


def test_only_the_adapter_is_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = create_model(make_backbone(), "vpt", num_classes=2, num_prompts=2)
    model.initialize()
    model.save_pretrained(tmp_path / "there")
    there = ["adapter_config.json", "adapter_model.safetensors", "checkpoint.pt", "old/adapter_config.json", "x.bin"]
    fetched: list[str] = []

    def snapshot_download(name: str, *, allow_patterns: list[str] | None = None, revision: str) -> str:
        assert (name, revision) == ("me/birds", "v2")
        fetched.extend(filter_repo_objects(there, allow_patterns=allow_patterns))
        return str(tmp_path / "there")

    monkeypatch.setattr("selfprompt.adapters.format.snapshot_download", snapshot_download)
    assert load("me/birds", make_backbone(), revision="v2").num_classes == 2
    assert fetched == there[:2]
