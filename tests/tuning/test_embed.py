"""embed: what a head reads of each input, or a backbone's own feature, named and in order, in any of three files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import selfprompt as sp
from conftest import make_backbone, write_image
from selfprompt.data.images import read_image
from selfprompt.data.views.image import prepare_image
from selfprompt.runs import embed as embedding
from selfprompt.runs.feature_files import feature_file


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    """Five images, the second cut short."""
    files = [tmp_path / "new" / f"{index}.png" for index in range(5)]
    for index, file in enumerate(files):
        write_image(file, index % 3, index)
    files[1].write_bytes(files[1].read_bytes()[:200])
    return files


def pixels(model: sp.PromptedModel, files: list[Path]) -> torch.Tensor:
    return torch.from_numpy(np.stack([prepare_image(read_image(file), model.protocol) for file in files]))


@pytest.fixture
def model(tmp_path: Path) -> sp.PromptedModel:
    model = sp.create_model(make_backbone(), "vpt", num_classes=3, num_prompts=2)
    model.initialize()
    model.save_pretrained(tmp_path / "adapter")
    return model.eval()


def test_features_are_what_the_head_reads_or_the_backbones_own(model, photos: list[Path], tmp_path: Path) -> None:
    whole = [photos[0], *photos[2:]]
    images = pixels(model, whole)
    expected = model.features(images).detach().numpy()
    for source, rest in ((tmp_path / "adapter", {"backbone": make_backbone()}), (model.train(), {})):
        names, found, errors = sp.embed(source, photos[0].parent, **rest)
        assert names == [str(file) for file in whole]
        assert len(errors) == 1
        assert "1.png cannot be decoded" in errors[0]
        assert np.allclose(found, expected, atol=1e-5)
    assert model.training
    bare = make_backbone()
    assert np.allclose(sp.embed(bare, whole).features, bare.vit(model.normalize(images)).detach(), atol=1e-5)
    with pytest.raises(sp.UserError, match=r"1\.png cannot be decoded"):
        sp.embed(bare, photos, on_error="stop")
    with pytest.raises(sp.UserError, match="leave --backbone out"):
        sp.embed(bare, photos, backbone=bare)
    with pytest.raises(sp.UserError, match="leave --image-size out"):
        sp.embed(model, photos, image_size=16)


@pytest.mark.parametrize("suffix", ["parquet", "npz", "csv"])
def test_files_hold_names_and_features(
    suffix: str, model, photos: list[Path], tmp_path: Path, call, fails, monkeypatch
) -> None:
    monkeypatch.setattr(embedding, "load", lambda path, _: sp.load(path, make_backbone()))
    monkeypatch.setattr("selfprompt.runs.feature_files.ROWS", 3)
    out = tmp_path / "made" / f"features.{suffix}"
    code, said, errors = call("embed", tmp_path / "adapter", photos[0].parent, "--out", out, "--json")
    names, expected, unread = sp.embed(model, photos)
    assert (code, json.loads(said)) == (3, {"out": str(out), "images": 4, "features": 32, "errors": unread})
    assert f"error: {unread[0]}" in errors
    if suffix == "npz":
        with np.load(out) as held:
            found = held["names"].tolist(), held["features"]
    elif suffix == "parquet":
        table = pytest.importorskip("pyarrow.parquet").read_table(out)
        found = table["image"].to_pylist(), np.array(table["features"].to_pylist())
    else:
        head, *lines = out.read_text(encoding="utf-8").splitlines()
        assert head == ",".join(["image", *map(str, range(32))])
        rows = [line.split(",") for line in lines]
        found = [row[0] for row in rows], np.array([row[1:] for row in rows], dtype=float)
    assert found[0] == names
    assert np.array_equal(found[1].astype(np.float32), expected)
    before = out.read_bytes()
    fails("embed", tmp_path / "adapter", photos[0].parent, "--out", out, "--on-error", "stop")
    assert out.read_bytes() == before
    assert [path.name for path in out.parent.iterdir()] == [out.name]
    assert "must end in .parquet, .npz, .csv" in fails("embed", "builtin", photos[0], "--out", tmp_path / "out.txt")


def test_long_texts_do_not_make_an_array_as_wide_as_the_longest(tmp_path: Path) -> None:
    texts, features = ["a", "ü" * 50_000, *(f"text {i}" for i in range(500))], np.ones(4, np.float32)
    with feature_file(tmp_path / "a.npz", "text") as row:
        for text in texts:
            row(text, features)
    assert (tmp_path / "a.npz").stat().st_size < 500_000
    with np.load(tmp_path / "a.npz") as held:
        assert json.loads(held["texts"].tobytes()) == texts
        assert held["features"].shape == (502, 4)
