"""The protocol's hash, and what the protocol does to an image."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from selfprompt.comparison.compare import protocol_of
from selfprompt.comparison.suites import MINI
from selfprompt.data.batches import Decoded
from selfprompt.data.datasets import Examples
from selfprompt.data.images import read_image
from selfprompt.data.protocol import Protocol
from selfprompt.data.views.image import prepare_image
from selfprompt.rules.plain import Plain

CHANGES = {
    "image_size": 32,
    "resize": "squash",
    "crop_fraction": 0.9,
    "interpolation": "bilinear",
    "mean": (0.5, 0.5, 0.5),
    "std": (0.5, 0.5, 0.5),
    "augmentation": "flip",
    "train_images": 10,
    "val_fraction": 0.3,
    "test_fraction": 0.3,
    "split_seed": 1,
    "selection": "last",
    "final": "train+val",
    "value_range": (0, 4095),
    "shots": 4,
    "val_shots": 4,
    "classes": "base",
    "metric": "macro_f1",
    "multi_label": True,
}


def test_the_hash_changes_with_every_field_but_the_name() -> None:
    hashes = {Protocol(**{field: value}).hash for field, value in CHANGES.items()}
    assert len(hashes | {Protocol().hash}) == len(CHANGES) + 1
    assert set(CHANGES) == set(Protocol.model_fields) - {"name"}
    assert Protocol(name="other").hash == Protocol().hash


def test_hashes_that_were_printed_stay_true() -> None:
    assert protocol_of("builtin", **MINI.protocol).hash == "1237979b854b"

    class Later(Protocol):
        fresh: bool = False

    assert Later().hash == Protocol().hash
    assert Later(fresh=True).hash != Protocol().hash


def test_crop_keeps_the_aspect_and_squash_does_not() -> None:
    image = Image.new("RGB", (80, 40))
    image.paste((255, 255, 255), (0, 0, 20, 40))  # the left quarter is white
    crop = prepare_image(image, Protocol(image_size=20))
    squash = prepare_image(image, Protocol(image_size=20, resize="squash"))
    assert crop.shape == squash.shape == (3, 20, 20)
    assert crop.mean() < 20
    assert squash.mean() == pytest.approx(255 / 4, rel=0.1)


@pytest.mark.parametrize("augmentation", ["none", "flip", "crop_flip"])
def test_an_item_read_twice_is_the_same(augmentation: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (6, 40, 40, 3), dtype=np.uint8)
    examples = Examples(list(pixels), np.zeros(6, dtype=np.int64))
    protocol = Protocol(image_size=16, augmentation=augmentation)
    images = Decoded(examples, protocol, train=True)
    indices = np.arange(6)
    assert torch.equal(images.get(indices, 3), images.get(indices, 3))
    assert torch.equal(images.get(indices[::-1].copy(), 3).flip(0), images.get(indices, 3))
    assert torch.equal(images.get(indices, 3), images.get(indices, 4)) == (augmentation == "none")
    plain = Decoded(examples, protocol)
    assert torch.equal(plain.get(indices, 3), plain.get(indices, 4))


def test_normalising_leaves_the_kept_images_alone() -> None:
    images = torch.randint(0, 256, (2, 3, 4, 4), dtype=torch.uint8)
    before = images.clone()
    out = Protocol(mean=(0.5,) * 3, std=(0.25,) * 3).view().prepare(images)
    assert torch.equal(images, before)
    assert torch.allclose(out, (before / 255 - 0.5) / 0.25)


def test_batches_follow_from_seed_and_epoch() -> None:
    one = Plain().order(10, 3, seed=0, epoch=1, held={})
    assert [len(b) for b in one] == [3, 3, 3]
    assert len(set(np.concatenate(one).tolist())) == 9
    assert all((a == b).all() for a, b in zip(one, Plain().order(10, 3, seed=0, epoch=1, held={})))
    assert any((a != b).any() for a, b in zip(one, Plain().order(10, 3, seed=0, epoch=2, held={})))
    assert [len(b) for b in Plain().order(2, 3, seed=0, epoch=0, held={})] == [2]


def test_modes_become_what_a_viewer_shows(tmp_path) -> None:
    half = Image.new("RGBA", (4, 2), (255, 0, 0, 255))
    half.paste((0, 255, 0, 0), (0, 0, 2, 2))  # the left half is transparent
    half.save(tmp_path / "rgba.png")
    assert read_image(tmp_path / "rgba.png").getpixel((0, 0)) == (255, 255, 255)
    assert read_image(tmp_path / "rgba.png").getpixel((3, 0)) == (255, 0, 0)
    Image.new("RGB", (4, 2), (10, 200, 30)).convert("P").save(tmp_path / "palette.png")
    assert read_image(tmp_path / "palette.png").mode == "RGB"
    Image.new("L", (4, 2), 7).save(tmp_path / "grey.png")
    assert read_image(tmp_path / "grey.png").getpixel((1, 1)) == (7, 7, 7)
    Image.fromarray(np.full((2, 4), 256 * 9, dtype=np.uint16)).save(tmp_path / "deep.png")
    assert read_image(tmp_path / "deep.png").getpixel((1, 1)) == (9, 9, 9)
    turned = Image.new("RGB", (4, 2))
    exif = turned.getexif()
    exif[0x0112] = 6
    turned.save(tmp_path / "turned.jpg", exif=exif)
    assert read_image(tmp_path / "turned.jpg").size == (2, 4)


def test_a_random_crop_after_the_resize_moves_and_keeps_the_scale() -> None:
    ramp = np.tile(np.arange(160, dtype=np.uint8), (160, 1))
    image = Image.fromarray(np.stack([ramp] * 3, axis=-1))
    protocol = Protocol(image_size=32, crop_fraction=0.5, augmentation="resize_crop_flip", interpolation="bilinear")
    seen = [prepare_image(image, protocol, np.random.default_rng(seed)) for seed in range(20)]
    spans = [abs(float(pixels[0, 0, -1]) - float(pixels[0, 0, 0])) for pixels in seen]
    assert all(abs(span - 31 * 2.5) < 5 for span in spans)  # 160 pixels to 64, of which 32 are cut
    assert len({int(pixels.min()) for pixels in seen}) > 5
