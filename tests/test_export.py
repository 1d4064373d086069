"""Exported programs answer as the model does, for any batch."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch

import selfprompt as sp
from conftest import make_backbone
from selfprompt.export import export


def started(method: str) -> sp.PromptedModel:
    names = ["ant", "bee", "cow"]
    model = sp.create_model(make_backbone(), method, num_classes=3, class_names=names, head_norm="batch")
    model.initialize([torch.randn(6, 3, 32, 32, generator=torch.Generator().manual_seed(2))])
    return model.eval()


@pytest.fixture
def pixels() -> torch.Tensor:
    return torch.randint(0, 256, (5, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("method", sp.list_methods())
def test_programs_of_torch_export(method: str, tmp_path: Path, pixels: torch.Tensor) -> None:
    model = started(method)
    export(model, tmp_path / "model.pt2")
    program = torch.export.load(tmp_path / "model.pt2").module()
    assert torch.allclose(program(pixels), model(pixels), atol=1e-5)


def test_onnx_in_onnxruntime(tmp_path: Path, pixels: torch.Tensor) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    model = started("spt")
    model.save_pretrained(tmp_path)
    done = export(tmp_path, tmp_path / "model.onnx", backbone=make_backbone())
    assert done == {"out": str(tmp_path / "model.onnx"), "format": "onnx", "image_size": 32, "num_classes": 3}
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    (logits,) = session.run(["logits"], {"images": pixels.numpy()})
    assert torch.allclose(torch.from_numpy(logits), model(pixels), atol=1e-5)
    assert json.loads(session.get_modelmeta().custom_metadata_map["class_names"]) == ["ant", "bee", "cow"]


def test_another_suffix_or_a_missing_extra_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(sp.UserError, match=r"must end in \.onnx or \.pt2"):
        export(started("spt"), tmp_path / "model.pb")
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(sp.UserError, match=r"pip install 'selfprompt\[export\]'"):
        export(started("spt"), tmp_path / "model.onnx")
