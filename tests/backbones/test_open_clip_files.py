"""open_clip's models out of files: folders and weights; damaged ones are one sentence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from selfprompt.backbones.load import load_backbone
from selfprompt.backbones.open_clip import wrap
from selfprompt.errors import UserError
from tiny_clip import TEXT, VISION, open_clip, tiny_open_clip, write_clip


def named(folder: Path) -> Path:
    """A weights file, whose architecture open_clip knows by name; its texts have open_clip's own vocabulary."""
    text = TEXT | {"vocab_size": 49408}
    config = {"embed_dim": 20, "quick_gelu": True, "vision_cfg": VISION, "text_cfg": text}
    (folder / "tiny-pair.json").write_text(json.dumps(config), encoding="utf-8")
    open_clip.add_model_config(folder / "tiny-pair.json")
    torch.save(tiny_open_clip(text=text).state_dict(), folder / "weights.pt")
    return folder / "weights.pt"


def test_a_weights_file_is_the_model_that_it_is_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = named(tmp_path)
    pair = load_backbone(f"open_clip:tiny-pair/{weights}")
    model = tiny_open_clip(text=TEXT | {"vocab_size": 49408})
    assert pair.fingerprint() == wrap(model, open_clip.get_tokenizer("tiny-pair"), "own", {}).fingerprint()
    monkeypatch.chdir(tmp_path)
    again = load_backbone("open_clip:tiny-pair/weights.pt")
    assert again.info.name == pair.info.name == f"open_clip:tiny-pair/{weights}"
    assert again.fingerprint() == pair.fingerprint()


def test_what_is_damaged_or_unknown_is_one_sentence(tmp_path: Path) -> None:
    weights = named(tmp_path)
    weights.write_bytes(weights.read_bytes()[:1000])
    folder = write_clip(tmp_path / "pair")
    file = folder / "open_clip_model.safetensors"
    file.write_bytes(file.read_bytes()[:1000])
    for source, said in (
        (f"tiny-pair/{weights}", "cannot be loaded"),
        (str(folder), "is no folder of an open_clip model"),
        ("tiny-pair/gone.pt", r"or open_clip:NAME/FILE\.$"),
        ("nosuch/model", "a model of open_clip.list_pretrained"),
    ):
        with pytest.raises(UserError, match=said) as error:
            load_backbone(f"open_clip:{source}")
        assert "\n" not in str(error.value)
