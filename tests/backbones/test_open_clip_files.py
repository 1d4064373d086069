"""open_clip's models out of files: folders and weights; damaged ones are one sentence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import selfprompt as sp
from selfprompt.backbones.load import load_backbone
from selfprompt.backbones.open_clip import wrap
from selfprompt.errors import UserError
from tiny_clip import NAMES, TEXT, VISION, open_clip, tiny_open_clip, tokenizer, write_clip


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


def rewritten(folder: Path, **changes: object) -> None:
    """A folder with another preprocessing."""
    file = folder / "open_clip_config.json"
    config = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps(config | {"preprocess_cfg": changes}), encoding="utf-8")


@torch.no_grad()
def test_a_folder_stands_for_itself_anywhere_and_as_it_is_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, images = write_clip(tmp_path / "pair"), torch.randn(2, 3, 32, 32)
    monkeypatch.chdir(tmp_path)
    model = sp.create_model("open_clip:pair", "zeroshot", class_names=NAMES)
    model.save_pretrained(tmp_path / "adapter")
    assert model.backbone.info.architecture == "pair"
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert torch.equal(sp.load(tmp_path / "adapter")(images), model(images))
    file = folder / "open_clip_model.safetensors"
    state = load_file(file)
    save_file({name: value + 0.01 * torch.rand_like(value) for name, value in state.items()}, file)
    other = sp.create_model(f"open_clip:{folder}", "zeroshot", class_names=NAMES)
    assert not torch.allclose(other(images), model(images), atol=1e-3)
    with pytest.raises(UserError, match="with weights"):
        sp.load(tmp_path / "adapter")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"mean": 0.5}, "mean"),
        ({"mean": [0.5, 0.5]}, "mean"),
        ({"std": [0, 1, 1]}, "std"),
        ({"interpolation": 3}, "interp"),
    ],
)
def test_a_preprocessing_that_is_none_is_one_sentence(changes: dict, said: str, tmp_path: Path) -> None:
    folder = write_clip(tmp_path / "pair")
    rewritten(folder, **changes)
    with pytest.raises(UserError, match=f"preprocess_cfg.*{said}") as refused:
        load_backbone(f"open_clip:{folder}")
    assert "\n" not in str(refused.value)


def test_an_interpolation_drawn_in_training_is_cubic(tmp_path: Path) -> None:
    folder = write_clip(tmp_path / "pair")
    rewritten(folder, interpolation="random")
    assert load_backbone(f"open_clip:{folder}").info.interpolation == "bicubic"


def test_weights_and_tokenizers_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    folder = write_clip(tmp_path / "pair")
    (folder / "bpe.txt.gz").unlink()
    with pytest.raises(UserError, match="its tokenizer gives ids up to 49,407"):
        load_backbone(f"open_clip:{folder}")
    for part in ("token_embedding.weight", "visual.conv1.weight"):
        model = tiny_open_clip()
        model.get_parameter(part).data.view(-1)[0] = torch.nan
        with pytest.raises(UserError, match=f"weight {part} that is NaN"):
            wrap(model, tokenizer(), "own", {})


def test_a_module_of_the_caller_needs_its_tokenizer() -> None:
    with pytest.raises(UserError, match=r"open_clip\.wrap"):
        load_backbone(tiny_open_clip())


def test_weights_in_half_precision_are_taken() -> None:
    for dtype in (torch.float16, torch.bfloat16):
        assert wrap(tiny_open_clip().to(dtype), tokenizer(), "own", {}).text.embedding.weight.dtype == torch.float32
