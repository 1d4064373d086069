"""Exported programs answer as the model does, for any batch."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import selfprompt as sp
from conftest import METHODS, make_backbone
from selfprompt.data.views.image import prepare_image
from selfprompt.scores.calibration import Calibration
from selfprompt.serving.export import export


def started(method: str) -> sp.PromptedModel:
    names = ["ant", "bee", "cow"]
    model = sp.create_model(make_backbone(), method, num_classes=3, class_names=names, head_norm="batch")
    model.initialize([torch.randn(6, 3, 32, 32, generator=torch.Generator().manual_seed(2))])
    return model.eval()


@pytest.fixture
def pixels() -> torch.Tensor:
    return torch.randint(0, 256, (5, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("method", METHODS)
def test_programs_of_torch_export(method: str, tmp_path: Path, pixels: torch.Tensor) -> None:
    model = started(method)
    export(model, tmp_path / "model.pt2")
    program = torch.export.load(tmp_path / "model.pt2").module()
    assert torch.allclose(program(pixels), model(pixels), atol=1e-5)


def test_onnx_in_onnxruntime(tmp_path: Path, pixels: torch.Tensor, capfd: pytest.CaptureFixture[str]) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    model = started("spt")
    model.save_pretrained(tmp_path)
    done = export(tmp_path, tmp_path / "model.onnx", backbone=make_backbone())
    assert done == {"out": str(tmp_path / "model.onnx"), "format": "onnx", "image_size": 32, "num_classes": 3}
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    (logits,) = session.run(["logits"], {"images": pixels.numpy()})
    assert torch.allclose(torch.from_numpy(logits), model(pixels), atol=1e-5)
    said = {name: json.loads(text) for name, text in session.get_modelmeta().custom_metadata_map.items()}
    assert said == {"class_names": ["ant", "bee", "cow"], "protocol": model.protocol.model_dump(mode="json")}
    assert capfd.readouterr().out == ""  # standard output is the command's own


def test_a_program_with_a_temperature_is_written_without_a_word(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], recwarn: pytest.WarningsRecorder
) -> None:
    pytest.importorskip("onnxscript")
    model = started("linear")
    model.calibration = Calibration(temperature=2.0, examples=8)
    export(model, tmp_path / "model.onnx")
    assert capfd.readouterr() == ("", "")
    assert not [str(found.message) for found in recwarn if "training mode" in str(found.message)]


@pytest.mark.parametrize("changes", [{}, {"crop_fraction": 0.8, "interpolation": "bilinear"}, {"resize": "squash"}])
@pytest.mark.parametrize("shape", [(61, 40), (33, 90), (20, 20)])
def test_the_how_to_resizes_as_the_protocol_says(shape: tuple[int, int], changes: dict[str, Any]) -> None:
    text = (Path(__file__).parent.parent / "docs" / "how-to" / "export.md").read_text(encoding="utf-8")
    (function,) = re.findall(r"^def resized.*?(?=^\S)", text, re.MULTILINE | re.DOTALL)
    known: dict[str, Any] = {"Image": Image}
    exec(function, known)
    image = Image.effect_noise(shape, 100).convert("RGB")
    protocol = sp.Protocol(image_size=32, **changes)
    resized = np.asarray(known["resized"](image, protocol.model_dump(mode="json")))
    assert (resized.transpose(2, 0, 1) == prepare_image(image, protocol)).all()


def test_another_suffix_or_a_missing_extra_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(sp.UserError, match=r"must end in \.onnx or \.pt2"):
        export(started("spt"), tmp_path / "model.pb")
    monkeypatch.setattr("selfprompt.serving.export.installed", lambda name: False)
    with pytest.raises(sp.UserError, match=r"pip install 'selfprompt\[export\]'"):
        export(started("spt"), tmp_path / "model.onnx")


@pytest.mark.parametrize("suffix", ["pt2", "onnx"])
def test_what_cannot_be_written_is_one_sentence_and_leaves_what_was_there(suffix: str, tmp_path: Path) -> None:
    if suffix == "onnx":
        pytest.importorskip("onnxscript")
    model = started("vpt")
    out = tmp_path / f"model.{suffix}"
    out.write_text("the last one", encoding="utf-8")
    resource = pytest.importorskip("resource")  # Windows has none
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, hard))
    try:
        with pytest.raises(sp.UserError, match=rf"model\.{suffix} cannot be written \(.*\): free space there"):
            export(model, out)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [p.name for p in tmp_path.iterdir()] == [out.name]
    assert out.read_text(encoding="utf-8") == "the last one"
    with pytest.raises(sp.UserError, match="a file stands where a folder is needed"):
        export(model, out / f"model.{suffix}")


def test_a_model_in_training_stays_in_training_and_one_that_says_nothing_is_refused(tmp_path: Path) -> None:
    model = started("vpt").train()
    export(model, tmp_path / "model.pt2")
    assert model.training
    assert model.insertion.training
    untouched = sp.create_model(make_backbone(), "spt", num_classes=3)
    broken = started("vpt")
    assert broken.prompts is not None
    broken.prompts.data[0, 0] = torch.nan
    for odd, why in ((untouched, "call initialize or fit first"), (broken, r"insertion\.prompts is NaN")):
        with pytest.raises(sp.UserError, match=why):
            export(odd, tmp_path / "odd.pt2")
        with pytest.raises(sp.UserError, match=why):
            odd.save_pretrained(tmp_path / "odd")
        with pytest.raises(sp.UserError, match=why):
            sp.AdapterPool(make_backbone()).add("odd", odd)
    assert not (tmp_path / "odd" / "adapter_model.safetensors").exists()
