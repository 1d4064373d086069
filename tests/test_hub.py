"""Adapters on the hub: three files there, two from there, a card that the hub reads, and no mistake for PEFT's."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from huggingface_hub import HfApi, ModelCard
from huggingface_hub.utils import filter_repo_objects

import selfprompt as sp
from conftest import make_backbone
from selfprompt.assembly import create_model, load
from selfprompt.model import PromptedModel


class Hub:
    """What was created and uploaded, and where."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.files: dict[str, bytes] = {}
        self.names: list[str] = []
        monkeypatch.setattr(HfApi, "create_repo", self.create)
        monkeypatch.setattr(HfApi, "upload_folder", self.upload)

    def create(self, repo_id: str, **rest: Any) -> Any:
        self.names.append(repo_id)
        return SimpleNamespace(repo_id=repo_id)

    def upload(self, *, repo_id: str, folder_path: str, **rest: Any) -> Any:
        self.names.append(repo_id)
        self.files = {path.name: path.read_bytes() for path in Path(folder_path).iterdir()}
        return SimpleNamespace(oid="3f2a91c", commit_url="https://hub/commit")


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Hub:
    return Hub(monkeypatch)


def started(name: str = "tiny", **metrics: Any) -> PromptedModel:
    model = create_model(make_backbone(), "vpt", num_classes=2, num_prompts=2)
    model.backbone.info = dataclasses.replace(model.backbone.info, name=name)
    model.initialize()
    model.metrics = metrics or None
    return model


def test_push_to_hub(hub: Hub) -> None:
    model = started()
    assert model.push_to_hub("me/birds").oid == "3f2a91c"
    assert sorted(hub.files) == ["README.md", "adapter_config.json", "adapter_model.safetensors"]
    assert model._hub_mixin_info.repo_url is None  # no registry is named as the project's home


def test_push_uploads_what_loads_and_nothing_beside_it(hub: Hub, tmp_path: Path, call, fails, monkeypatch) -> None:
    monkeypatch.setattr("selfprompt.runs.push.load", lambda path, _: load(path, make_backbone()))
    started().save_pretrained(tmp_path)
    (tmp_path / "checkpoint.pt").write_bytes(b"large")
    done = sp.push(tmp_path, "hf:me/birds", licence="mit")
    assert done == {"repository": "hf:me/birds", "revision": "3f2a91c", "url": "https://hub/commit"}
    assert hub.names == ["me/birds"] * 2
    assert sorted(hub.files) == ["README.md", "adapter_config.json", "adapter_model.safetensors"]
    assert hub.files["adapter_model.safetensors"] == (tmp_path / "adapter_model.safetensors").read_bytes()
    card = ModelCard(hub.files["README.md"].decode())
    assert card.data.license == "mit"
    assert 'sp.load("hf:me/birds")' in card.text
    monkeypatch.setattr(HfApi, "create_repo", lambda self, *_, **__: (_ for _ in ()).throw(OSError("401")))
    assert "The hub does not take me/birds (401): log in" in fails("push", tmp_path, "me/birds")
    assert "birds is no repository of the hub" in fails("push", tmp_path, "birds")
    (tmp_path / "adapter_model.safetensors").write_bytes(b"cut short")
    assert "adapter_model.safetensors is damaged" in fails("push", tmp_path, "me/birds")


@pytest.mark.parametrize(
    ("backbone", "base"),
    [
        ("vit_base_patch16_224.mae", "timm/vit_base_patch16_224.mae"),
        ("timm/vit_base_patch16_224", "timm/vit_base_patch16_224.augreg2_in21k_ft_in1k"),
        ("hf-hub:me/vit", "me/vit"),
        ("text:FacebookAI/roberta-base", "FacebookAI/roberta-base"),
        ("builtin", None),
        ("open_clip:ViT-B-32/openai", None),
        ("weights/mae.pth", None),
        ("module:VisionTransformer", None),
    ],
)
def test_the_cards_metadata_are_the_hubs(backbone: str, base: str | None) -> None:
    known = {"dataset": "me/insects@small", "seed": 0, "val_accuracy": 87.5, "test_accuracy": 75.0}
    card = started(backbone, **known).generate_model_card()
    read = ModelCard(str(card)).data  # as ModelCardData reads and checks them
    assert read.to_dict() == card.data.to_dict()
    assert (read.library_name, read.pipeline_tag) == ("selfprompt", "image-classification")
    assert (read.base_model, read.to_dict().get("base_model_relation")) == (base, base and "adapter")
    assert (read.datasets, read.metrics) == (["me/insects"], ["accuracy"])
    results = [(one.dataset_split, one.metric_type, one.metric_value) for one in read.eval_results or ()]
    assert results == [("test", "accuracy", 0.75), ("validation", "accuracy", 0.875)]
    assert started(backbone, **{**known, "dataset": "scenes"}).generate_model_card().data.datasets is None
    assert started(backbone).generate_model_card().data.eval_results is None


def test_peft_and_transformers_say_what_it_is(tmp_path: Path) -> None:
    peft, transformers = pytest.importorskip("peft"), pytest.importorskip("transformers")
    started().save_pretrained(tmp_path)
    said = "this is an adapter of selfprompt"
    with pytest.raises(KeyError, match=said):
        peft.PeftConfig.from_pretrained(str(tmp_path))
    with pytest.raises(KeyError, match=said):
        peft.PeftModel.from_pretrained(torch.nn.Linear(2, 2), str(tmp_path))
    for kind in (transformers.AutoModel, transformers.AutoModelForImageClassification):
        with pytest.raises((OSError, ValueError), match=said):
            kind.from_pretrained(str(tmp_path))


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
    for name, rest in (("me/birds", {"revision": "v2"}), ("hf:me/birds@v2", {}), ("me/birds@v2", {"revision": "v2"})):
        fetched.clear()
        assert load(name, make_backbone(), **rest).num_classes == 2
        assert fetched == there[:2]
    with pytest.raises(sp.UserError, match="are two revisions: give one"):
        load("hf:me/birds@v2", make_backbone(), revision="v3")
