"""Any image file to the pixels that it shows, or one sentence that names it."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, features

import selfprompt as sp
from conftest import make_backbone
from selfprompt.data import depth
from selfprompt.data.batches import Decoded
from selfprompt.data.depth import levels_of, to_8_bits
from selfprompt.data.images import common_range, read_image
from selfprompt.data.protocol import Protocol
from selfprompt.data.views import image as view
from selfprompt.data.views.image import prepare_image
from selfprompt.doctor import check_data
from selfprompt.errors import UserError

RNG = np.random.default_rng(0)


def grey(top: int, low: float = 0.0) -> np.ndarray:
    return RNG.integers(int(low * top), top + 1, (16, 16)).astype(np.uint16)


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(pixels: np.ndarray, bits: int = 16, clear: int | None = None, exif: bytes = b"") -> bytes:
    """A PNG of any depth, which Pillow cannot write; pixels whose every channel is ``clear`` are transparent."""
    channels = pixels.shape[2] if pixels.ndim == 3 else 1
    header = struct.pack(
        ">IIBBBBB", pixels.shape[1], pixels.shape[0], bits, {1: 0, 2: 4, 3: 2, 4: 6}[channels], 0, 0, 0
    )
    unpacked = (pixels.reshape(len(pixels), -1, 1).astype(int) >> np.arange(bits)[::-1]) & 1
    rows = b"".join(b"\0" + np.packbits(row.ravel().astype(np.uint8)).tobytes() for row in unpacked)
    out = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + (chunk(b"eXIf", exif) if exif else b"")
    out += b"" if clear is None else chunk(b"tRNS", struct.pack(">H", clear) * channels)
    return out + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def tiff16(pixels: np.ndarray, order: str = "<", packed: bool = False, **tags: int) -> bytes:
    """A TIFF of 16-bit grey or colour."""
    height, width, channels = pixels.reshape(*pixels.shape[:2], -1).shape
    data = pixels.astype(f"{order}u2").tobytes()
    data = zlib.compress(data) if packed else data
    fields = {256: width, 257: height, 258: 16, 259: 8 if packed else 1, 262: 2 if channels == 3 else 1}
    fields |= {273: 0, 277: channels, 278: height, 279: len(data)} | {
        int(tag[1:]): value for tag, value in tags.items()
    }
    start = 8 + 2 + 12 * len(fields) + 4
    out = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HIH", 42, 8, len(fields))
    for tag, value in sorted(fields.items()):
        if tag == 258 and channels == 3:
            out += struct.pack(f"{order}HHII", tag, 3, 3, start)
        elif tag == 273:
            out += struct.pack(f"{order}HHII", tag, 4, 1, start + 2 * channels)
        elif tag == 279:
            out += struct.pack(f"{order}HHII", tag, 4, 1, value)
        else:
            out += struct.pack(f"{order}HHIHH", tag, 3, 1, value, 0)
    return out + struct.pack(f"{order}I", 0) + struct.pack(f"{order}{channels}H", *[16] * channels) + data


def read(data: bytes, path: Path) -> np.ndarray:
    path.write_bytes(data)
    return np.asarray(read_image(path))


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
@pytest.mark.parametrize("kind", ["png", "tif"])
def test_grey_of_any_depth_keeps_its_highest_bits(bits: int, kind: str, tmp_path: Path) -> None:
    values = grey(2**bits - 1)
    values[0, 0] = 2**bits - 1
    Image.fromarray(values).save(tmp_path / f"a.{kind}")
    for source in (tmp_path / f"a.{kind}", values, Image.fromarray(values)):
        assert np.array_equal(np.asarray(read_image(source))[..., 0], values >> (bits - 8))


@pytest.mark.parametrize("bits", [12, 16])
@pytest.mark.parametrize("channels", [3, 4])
def test_colour_of_any_depth_in_png(bits: int, channels: int, tmp_path: Path) -> None:
    values = RNG.integers(0, 2**bits, (6, 7, channels)).astype(np.uint16)
    values[..., 3:] = 2**16 - 1
    assert np.array_equal(read(png(values), tmp_path / "a.png"), values[..., :3] >> (bits - 8))


def forms(path: Path) -> list[Any]:
    """One picture in every form that a file can be given in."""
    data, loaded = path.read_bytes(), Image.open(path)
    loaded.load()
    files = [io.BytesIO(data), {"bytes": data, "path": None}, {"bytes": None, "path": str(path)}]
    return [path, data, *files, Image.open(path), Image.open(io.BytesIO(data)), loaded]


DIM, TURN = RNG.integers(0, 4096, (6, 7, 3)), b"MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1\0\6\0\0\0\0\0\0"
OPAQUE = np.full((6, 7, 1), 2**16 - 1)
RGBA = RNG.integers(0, 256, (6, 7, 4))
LAID = np.asarray(Image.alpha_composite(Image.new("RGBA", (7, 6), "white"), Image.fromarray(RGBA.astype(np.uint8))))


@pytest.mark.parametrize(
    ("data", "pixels"),
    [
        (png(DIM), DIM >> 4),
        (png(DIM, exif=TURN), np.rot90(DIM, -1) >> 4),
        (png(np.concatenate([DIM, OPAQUE], -1)), DIM >> 4),
        (png(np.concatenate([DIM[..., :1], OPAQUE], -1)), DIM[..., :1] >> 4),
        (png(DIM[..., 0], clear=int(DIM[1, 1, 0])), np.where(DIM[..., :1] == DIM[1, 1, 0], 255, DIM[..., :1] >> 4)),
        (png(DIM.repeat(3, 0) // 999, clear=2), None),
        *(
            (png(DIM[..., 0] % 4, 2, clear=n), np.where(DIM[..., :1] % 4 == n, 255, DIM[..., :1] % 4 * 85))
            for n in range(4)
        ),
        (png(DIM[..., 0] % 16, 4, clear=5), np.where(DIM[..., :1] % 16 == 5, 255, DIM[..., :1] % 16 * 17)),
        (png(RGBA, 8), LAID[..., :3]),
        (png(RGBA * 257), LAID[..., :3]),
        (png(RGBA[..., [0, 3]] * 257), LAID[..., :1]),
    ],
)
def test_a_picture_is_the_same_in_whatever_form_it_is_given(data: bytes, pixels: Any, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(data)
    seen = [np.asarray(read_image(form)) for form in forms(tmp_path / "a.png")]
    assert all(np.array_equal(one, seen[0]) for one in seen)
    assert pixels is None or np.array_equal(seen[0], np.broadcast_to(pixels, seen[0].shape))
    assert common_range(forms(tmp_path / "a.png")[:1]) == common_range(forms(tmp_path / "a.png")[-1:])


def test_transparency_of_arrays_and_deep_colour_is_laid_on_white(tmp_path: Path) -> None:
    small = RGBA.astype(np.uint8)
    for array in (small, small.astype(np.uint16) * 257, small / 255):
        assert np.abs(np.asarray(read_image(array)).astype(int) - LAID[..., :3]).max() <= 1
    clear = np.full((2, 2, 3), 9999)
    clear[0, 0, 0] = 0
    assert read(png(clear, clear=9999), tmp_path / "a.png").min(axis=-1).tolist() == [[0, 255], [255, 255]]


def test_pictures_changed_in_memory_are_read_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png(DIM * 16))
    image = Image.open(tmp_path / "a.png")
    image.paste((1, 2, 3), (0, 0, 7, 6))
    assert np.unique(np.asarray(read_image(image))).tolist() == [1, 2, 3]


@pytest.mark.parametrize(("kind", "white"), [("<u2", 0), ("<f4", 0), ("<u2", 1), ("<f4", 1), ("<u4", 1)])
def test_a_tiff_may_count_from_white_and_has_no_sign(kind: str, white: int, tmp_path: Path) -> None:
    shades = np.array([[0, 85], [85, 255]])
    values = (shades / 255 if kind == "<f4" else shades * (np.iinfo(kind).max // 255)).astype(kind)
    tags = {"t258": values.itemsize * 8, "t262": white, "t279": values.nbytes, "t339": 3 if kind == "<f4" else 1}
    data = tiff16(np.zeros((2, 2)), **tags)[:-8] + values.tobytes()
    assert np.array_equal(read(data, tmp_path / "a.tif")[..., 0], shades if white else 255 - shades)


def test_bytes_that_are_no_image_have_no_name() -> None:
    with pytest.raises(UserError, match="An image given as 3 bytes is no image that can be read"):
        read_image(b"abc")


@pytest.mark.parametrize("bits", [12, 16])
@pytest.mark.parametrize(("order", "packed"), [("<", False), (">", False), ("<", True), (">", True)])
def test_colour_of_any_depth_in_tiff(bits: int, order: str, packed: bool, tmp_path: Path) -> None:
    values = RNG.integers(0, 2**bits, (6, 7, 3)).astype(np.uint16)
    seen = read(tiff16(values, order, packed), tmp_path / "a.tif")
    assert np.array_equal(seen, values >> (bits - 8))


def test_a_tag_says_how_many_bits_a_dim_image_has(tmp_path: Path) -> None:
    values = grey(300)
    assert np.array_equal(read(tiff16(values, t281=4095), tmp_path / "a.tif")[..., 0], values >> 4)
    assert np.array_equal(read(tiff16(values, t281=65535), tmp_path / "b.tif")[..., 0], values >> 8)


def test_eight_bits_scaled_to_sixteen_come_back(tmp_path: Path) -> None:
    values = np.arange(40, dtype=np.uint16).reshape(5, 8)
    for scale in (256, 257):
        Image.fromarray(values * np.uint16(scale)).save(tmp_path / "a.png")
        assert np.array_equal(np.asarray(read_image(tmp_path / "a.png"))[..., 0], values)
    (tmp_path / "a.pgm").write_bytes(b"P5 8 5 65535\n" + (values * 256).astype(">u2").tobytes())
    assert np.array_equal(np.asarray(read_image(tmp_path / "a.pgm"))[..., 0], values)


def test_dim_and_bright_stay_apart_in_one_data_set(tmp_path: Path) -> None:
    for name, values in {"dim": grey(1000), "bright": grey(4000, 0.5)}.items():
        for index in range(3):
            (tmp_path / name).mkdir(exist_ok=True)
            Image.fromarray(values + np.uint16(index)).save(tmp_path / name / f"{index}.png")
    train = sp.load_dataset(tmp_path).train
    protocol = Protocol(image_size=16).completed(train)
    assert protocol.value_range == (0, 4095)
    bright, dim = (Decoded(train, protocol).get(np.array([i])).float().mean().item() for i in (0, 3))
    assert bright / dim == pytest.approx(6, rel=0.2)
    facts, problems, _ = check_data(str(tmp_path))
    assert facts["images of more than 8 bits"] == "0 is black, 4,095 is white"
    assert problems == []


def test_the_adapter_keeps_the_range_that_it_was_trained_with(tmp_path: Path) -> None:
    pairs = [(grey(4095) >> np.uint16(2 * (i % 2)), i % 2) for i in range(6)]
    model = sp.create_model(make_backbone(), "linear", num_classes=2)
    sp.fit(model, pairs, pairs, recipe=sp.Recipe(epochs=1, batch_size=3), output_dir=tmp_path)
    again = sp.load(tmp_path, make_backbone())
    assert again.protocol.value_range == (0, 4095)
    assert again.protocol.hash != Protocol(**again.protocol.model_dump(exclude={"value_range"})).hash


def test_eight_bit_data_leaves_the_protocol_as_it_is(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((4, 4, 3), dtype=np.uint8)).save(tmp_path / "a.png")
    for images in ([tmp_path / "a.png"], [np.zeros((4, 4, 3), dtype=np.uint8)], [Image.new("RGB", (4, 4))], []):
        assert common_range(images) is None
    assert common_range([grey(4095), np.full((4, 4), 0.5)]) is None  # integers and floats have no common range
    assert Protocol().hash == Protocol(value_range=None).hash


@pytest.mark.parametrize("hole", [np.nan, np.inf, -np.inf])
def test_pixels_without_a_number_change_no_others(hole: float, tmp_path: Path) -> None:
    values = np.full((8, 8), 0.5, dtype=np.float32)
    values[2:4] = 0.9
    values[0, 0] = hole
    Image.fromarray(values).save(tmp_path / "a.tif")
    for source in (tmp_path / "a.tif", values):
        seen = np.asarray(read_image(source))[..., 0]
        assert (seen[2:4] == 229).all()
        assert (seen[4:] == 127).all()
    with pytest.raises(UserError, match="no pixel that is a number"):
        read_image(np.full((4, 4), np.nan))


@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.int64, np.float32])
def test_signed_and_wide_values_fill_black_to_white(dtype: type, tmp_path: Path) -> None:
    values = np.linspace(-1000, 3000, 256).reshape(16, 16).astype(dtype)
    seen = np.asarray(read_image(values))[..., 0].ravel().astype(int)
    assert (np.diff(seen) >= 0).all()
    assert (seen[0], seen[-1]) == (0, 255)
    assert common_range([values, values + dtype(500)]) == (-1000, 3500)
    counts = np.arange(256, dtype=dtype).reshape(16, 16)
    assert np.array_equal(np.asarray(read_image(counts))[..., 0], counts)


def test_an_even_image_keeps_its_grey() -> None:
    for value in (0, 2000, 4095):
        assert np.unique(to_8_bits(np.full((2, 2), value), (0, 4095))).tolist() == [value >> 4]
    assert np.unique(np.asarray(read_image(np.full((4, 4), 2000, dtype=np.uint16)))).tolist() == [2000 >> 4]
    assert np.unique(np.asarray(read_image(np.full((4, 4), 0.5)))).tolist() == [127]


def test_deep_images_and_transparent_ones_are_converted_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    deep = rng.integers(0, 4096, (70, 50, 3), dtype=np.uint16)
    mixed = np.concatenate([deep[:35] % 16 * 256, deep[35:] % 16 * 257])  # of 16 bits, though each half is of 8
    floats = np.where(rng.random((70, 50)) < 0.1, np.nan, rng.random((70, 50)))
    clear = Image.fromarray(rng.integers(0, 256, (70, 50, 4), dtype=np.uint8))
    sources = [deep, deep[::-2], mixed, floats, clear, clear.convert("LA")]
    whole = [np.asarray(read_image(source)) for source in sources]
    monkeypatch.setattr(depth, "PART", 64)
    monkeypatch.setattr("selfprompt.data.images.SQUARE", 16)
    assert all(np.array_equal(read_image(source), known) for source, known in zip(sources, whole, strict=True))
    with pytest.raises(sp.UserError, match="no pixel that is a number"):
        read_image(np.full((9, 9), np.nan))
    tracemalloc.start()
    large = np.zeros((1000, 1000), np.uint16)
    to_8_bits(large, levels_of(large).range)
    assert tracemalloc.get_traced_memory()[1] < 4 * large.size  # two bytes of its own, one of what is made of it
    tracemalloc.stop()


def test_arrays_of_other_shapes() -> None:
    values = RNG.integers(0, 256, (4, 5), dtype=np.uint8)
    assert np.array_equal(np.asarray(read_image(values[:, :, None]))[..., 0], values)
    assert np.array_equal(np.asarray(read_image(values > 99))[..., 0], 255 * (values > 99))
    for odd in ((3, 4, 5), (0, 4), (4,), (1, 4, 5, 3)):
        with pytest.raises(UserError, match=r"its shape .* is none of \(H, W\)"):
            read_image(np.zeros(odd, dtype=np.uint8))


KINDS = ["AVIF", "JPEG2000", "WEBP", "DDS", "TIFF", "QOI", "GIF", "PNG", "JPEG", "BMP", "TGA", "PPM", "ICO"]


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_file_is_one_sentence(kind: str, tmp_path: Path) -> None:
    if kind == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow reads no AVIF")
    out = io.BytesIO()
    Image.fromarray(RNG.integers(0, 255, (16, 16, 3)).astype(np.uint8)).save(out, format=kind)
    whole = out.getvalue()
    (tmp_path / "whole.png").write_bytes(whole)
    right, told = np.asarray(read_image(tmp_path / "whole.png")), []
    for cut in {*range(0, len(whole), max(1, len(whole) // 150)), *range(len(whole) - 40, len(whole))}:
        for damaged in (whole[:cut], whole[:cut] + b"\xff\xff\xff\xff" + whole[cut + 4 :]):
            (tmp_path / "a.png").write_bytes(damaged)
            try:
                seen = np.asarray(read_image(tmp_path / "a.png"))
            except UserError as error:
                told.append(str(error))
            else:
                assert len(damaged) >= len(whole) or np.array_equal(seen, right)
    assert told
    assert all(str(tmp_path / "a.png") in sentence for sentence in told)


def test_a_jpeg_2000_that_lacks_its_end_is_refused(tmp_path: Path) -> None:
    Image.fromarray(RNG.integers(0, 255, (64, 64, 3)).astype(np.uint8)).save(tmp_path / "a.jp2")
    whole = (tmp_path / "a.jp2").read_bytes()
    for cut in range(150, 300):  # among them the end of the header, where Pillow sees a whole, empty image
        (tmp_path / "a.jp2").write_bytes(whole[:cut])
        with pytest.raises(UserError, match=r"a\.jp2"):
            read_image(tmp_path / "a.jp2")


@pytest.mark.parametrize("kind", [struct.error, EOFError, IndexError, KeyError, RuntimeError, MemoryError])
def test_whatever_a_decoder_raises_names_the_file(
    kind: type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")

    def fail(*_: object) -> None:
        raise kind("odd")

    monkeypatch.setattr("selfprompt.data.images.to_rgb", fail)
    with pytest.raises(UserError, match=r"a\.png cannot be decoded .*odd.*: replace or remove it"):
        read_image(tmp_path / "a.png")


@pytest.mark.parametrize("shape", [(8000, 1), (1, 8000), (3, 9000)])
@pytest.mark.parametrize("augmentation", ["none", "resize_crop_flip", "crop_flip"])
def test_a_strip_costs_no_more_than_a_picture(
    shape: tuple[int, int], augmentation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = np.zeros((*shape, 3), dtype=np.uint8)
    pixels[..., 0] = np.linspace(0, 255, pixels[..., 0].size).reshape(shape)
    protocol = Protocol(image_size=32, augmentation=augmentation)
    most = []
    whole = Image.Image.resize

    def resize(self: Image.Image, size: tuple[int, int], *more: object, **rest: Any) -> Image.Image:
        most.append(size[0] * size[1])
        return whole(self, size, *more, **rest)

    monkeypatch.setattr(Image.Image, "resize", resize)
    monkeypatch.setattr(view, "MOST_PIXELS", 2**16)
    image = Image.fromarray(pixels)
    bounded = prepare_image(image, protocol, np.random.default_rng(0))
    assert max(most) <= 2**16
    monkeypatch.setattr(view, "MOST_PIXELS", 2**40)
    assert np.abs(bounded.astype(int) - prepare_image(image, protocol, np.random.default_rng(0))).max() <= 1


@pytest.mark.parametrize("shape", [(40, 60), (300, 20), (7, 500), (224, 224)])
def test_other_images_are_resized_whole_and_then_cropped(shape: tuple[int, int]) -> None:
    image = Image.fromarray(RNG.integers(0, 255, (*shape, 3)).astype(np.uint8))
    scale = 32 / min(image.size)
    width, height = (max(32, round(side * scale)) for side in image.size)
    left, top = (width - 32) // 2, (height - 32) // 2
    right = image.resize((width, height), Image.Resampling.BICUBIC).crop((left, top, left + 32, top + 32))
    assert np.array_equal(prepare_image(image, Protocol(image_size=32)), np.asarray(right).transpose(2, 0, 1))
