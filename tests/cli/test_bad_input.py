"""Wrong input ends with exit status 2 and one sentence that names the file and the fix."""

from __future__ import annotations

import contextlib
import json
import shutil
import struct
import zlib
from pathlib import Path

import pytest
import safetensors.torch
import torch
from timm.models.vision_transformer import VisionTransformer

from conftest import TINY, write_image
from selfprompt import cli


@pytest.fixture
def fails(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    def run(*arguments: object) -> str:
        monkeypatch.setattr("sys.argv", ["selfprompt", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            cli.main()
        said = capsys.readouterr()
        assert stop.value.code == 2, said.err
        assert said.out == ""
        last = said.err.strip().splitlines()
        assert sum(line.startswith("error: ") for line in last) == 1
        return said.err

    return run


def tiny(folder: Path, weights: Path, out: Path) -> tuple[object, ...]:
    return ("tune", folder, "--backbone", weights, "--out", out, "--num-prompts", 3, "--epochs", 2, "--no-probe")


@pytest.fixture
def tune(folder: Path, weights: Path, tmp_path: Path, fails):
    return lambda *more: fails(*tiny(folder, weights, tmp_path / "out"), *more)


def test_truncated_jpeg(folder: Path, tune) -> None:
    write_image(folder / "ant" / "cut.jpg", 0, 0)
    whole = (folder / "ant" / "cut.jpg").read_bytes()
    (folder / "ant" / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    said = tune()
    assert "cut.jpg cannot be decoded" in said
    assert "replace or remove it" in said


def test_text_named_png(folder: Path, tune) -> None:
    (folder / "bee" / "note.png").write_text("hello", encoding="utf-8")
    assert "note.png is no image, whatever its name says: remove it or replace it" in tune()


def test_decompression_bomb(folder: Path, tune) -> None:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0)
    bomb = (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(1000)))
        + chunk(b"IEND", b"")
    )
    (folder / "cow" / "bomb.png").write_bytes(bomb)
    said = tune()
    assert "bomb.png has more than" in said
    assert "scale it down" in said


def test_one_class(folder: Path, tune) -> None:
    shutil.rmtree(folder / "ant")
    shutil.rmtree(folder / "bee")
    said = tune()
    assert "one class folder (cow)" in said
    assert "put the images of each class" in said


def test_empty_class(folder: Path, tune) -> None:
    (folder / "dog").mkdir()
    assert f"{folder / 'dog'} has no images: add some, or remove the folder" in tune()


def test_class_in_val_that_train_lacks(folder: Path, tmp_path: Path, weights: Path, fails) -> None:
    shutil.copytree(folder, tmp_path / "split" / "train")
    shutil.copytree(folder, tmp_path / "split" / "val")
    (tmp_path / "split" / "val" / "ant").rename(tmp_path / "split" / "val" / "ape")
    said = fails(*tiny(tmp_path / "split", weights, tmp_path / "out"))
    assert f"{tmp_path / 'split' / 'val' / 'ape'} is a class that the training split lacks" in said
    assert "remove it, or add images" in said


class RunsCode:
    def __reduce__(self) -> tuple:
        return exec, ("open('pwned', 'w')",)


def test_checkpoint_that_would_run_code(folder: Path, tmp_path: Path, fails, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"model": VisionTransformer(**TINY).state_dict(), "more": RunsCode()}, "evil.pth")
    said = fails(*tiny(folder, tmp_path / "evil.pth", tmp_path / "out"))
    assert "evil.pth holds Python objects that would run code, and was not loaded: save its state_dict" in said
    assert not Path("pwned").exists()


@pytest.fixture
def adapter(folder: Path, weights: Path, tmp_path: Path, monkeypatch, capsys) -> Path:
    monkeypatch.setattr("sys.argv", ["selfprompt", *map(str, tiny(folder, weights, tmp_path / "adapter"))])
    with contextlib.suppress(SystemExit):
        cli.main()
    capsys.readouterr()
    return tmp_path / "adapter"


def test_other_backbone(adapter: Path, folder: Path, tmp_path: Path, fails) -> None:
    torch.manual_seed(9)
    shape = {**TINY, "embed_dim": 64, "num_heads": 1}
    torch.save({"model": VisionTransformer(**shape).state_dict()}, tmp_path / "other.pth")
    said = fails("evaluate", adapter, folder, "--backbone", tmp_path / "other.pth")
    assert "was trained on" in said
    assert "give the right one" in said


def test_adapter_without_head(adapter: Path, folder: Path, fails) -> None:
    state = safetensors.torch.load_file(adapter / "adapter_model.safetensors")
    prompts = {k: v for k, v in state.items() if not k.startswith("head.")}
    safetensors.torch.save_file(prompts, adapter / "adapter_model.safetensors")
    said = fails("predict", adapter, folder / "ant" / "0.png")
    assert "lacks weight head." in said


def test_damaged_adapter_config(adapter: Path, folder: Path, fails) -> None:
    config = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))
    (adapter / "adapter_config.json").write_text(json.dumps(config | {"num_clases": 3}), encoding="utf-8")
    assert "adapter_config.json is damaged" in fails("predict", adapter, folder / "ant" / "0.png")
    shutil.rmtree(adapter)
    assert "neither a folder here nor an adapter" in fails("predict", adapter, folder / "ant" / "0.png")


@pytest.mark.parametrize("method", ["spt:keep=.5:keep=.6", "spt:keep=.5"])
def test_a_field_given_twice(method: str, folder: Path, tmp_path: Path, fails) -> None:
    assert "leave one out" in fails("tune", folder, "--out", tmp_path / "out", "--method", method, "--keep", ".6")


def test_more_prompts_than_memory(folder: Path, weights: Path, tmp_path: Path, fails) -> None:
    said = fails("tune", folder, "--backbone", weights, "--out", tmp_path / "out", "--num-prompts", 10**9)
    assert "1,000,000,000 prompts" in said
    assert "use fewer (--num-prompts" in said


def test_learning_rate_that_leads_to_nan(tune) -> None:
    said = tune("--lr", 1e30)
    assert "became" in said
    assert "use a smaller --lr than 1e+30" in said


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (("--method", "stp"), "did you mean spt?"),
        (("--label", "x"), "There is no flag named '--label': did you mean --label-column or --label-separator or"),
        (("--hed-lr", "1"), "did you mean --head-lr or"),
        (
            ("--method", "linear"),
            "Method linear has no num_prompts: apt, ",
        ),
        (("--method", "lora", "--keep", 0.5), "Method lora has no "),
        (("--method", "cvpt", "--shallow"), "Method cvpt has no shallow: pc, spt, vpt have it."),
        (("--method", "gatevpt:gate_init"), "write NAME, or NAME:FIELD=VALUE"),
        (("--method", "vfpt:fourier_share=2"), "Method vfpt does not take fourier_share='2'"),
        (("--epochs", 0), "--epochs 0 is out of range"),
        (("--lr", "fast"), "fast"),
        (("--image-size", 33), "no multiple of the patch size 8"),
        (("--prompt-rms", -1), "--prompt-rms -1 is out of range"),
    ],
)
def test_wrong_flags(more: tuple, sentence: str, folder: Path, weights: Path, tmp_path: Path, fails) -> None:
    said = fails("tune", folder, "--backbone", weights, "--out", tmp_path / "out", "--num-prompts", 3, *more)
    assert sentence in said


def test_wrong_places(folder: Path, tmp_path: Path, fails) -> None:
    assert "There is no folder or data set 'nowhere'" in fails("tune", "nowhere")
    assert "There is no file nowhere.csv: name a table" in fails("tune", "nowhere.csv")
    assert "holds no run to go on with" in fails("tune", "--resume", tmp_path)
    assert "needs DATA" in fails("tune", "--backbone", "vit_tiny_patch16_224")
    assert "could not be had from the hub" in fails("tune", folder, "--backbone", "vit_tiny_patch16_224.augreg_in21k")


def test_what_is_neither_an_image_nor_called_like_one_is_refused_by_predict(
    finished: Path, tmp_path: Path, call
) -> None:
    image = next((finished.parent / "data" / "ant").glob("*.png"))
    for name, content in (("empty", b""), ("notes.txt", b"ant"), ("nameless", image.read_bytes()), ("cut.png", b"")):
        (tmp_path / name).write_bytes(content)
    for name in ("empty", "notes.txt"):
        code, _, errors = call("predict", finished, image, tmp_path / name)
        assert code == 2
        assert f"{name} is no image, and is not called like one: leave it out" in errors
    assert call("predict", finished, image, tmp_path / "nameless")[0] == 0
    assert call("predict", finished, image, tmp_path / "cut.png")[0] == 3
