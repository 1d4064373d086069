"""What people hand to a fit: right images and labels, or one sentence."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageSequence
from torch.utils.data import ConcatDataset, DataLoader, Subset, TensorDataset
from torchvision.datasets import ImageFolder
from torchvision.transforms import ToTensor

from conftest import make_backbone
from selfprompt.assembly import create_model
from selfprompt.data.arrays import to_pixels
from selfprompt.data.batches import Decoded, in_order
from selfprompt.data.datasets import Dataset, with_splits
from selfprompt.data.examples import Examples
from selfprompt.data.images import read_image
from selfprompt.data.pairs import as_examples
from selfprompt.data.protocol import Protocol
from selfprompt.data.sources import load_dataset
from selfprompt.errors import UserError
from selfprompt.methods.recipe import Recipe
from selfprompt.tuning.fit import fit

RGB = np.random.default_rng(0).integers(0, 256, (6, 8, 10, 3), dtype=np.uint8)
LABELS = [0, 1, 1, 0, 1, 0]
TENSORS = torch.from_numpy(RGB).permute(0, 3, 1, 2)


ODD: list[Any] = [None, 3, "ab", b"ab", {0: 1, 1: 0}, {0, 1}]


class NoIter:
    """A data set of PyTorch that never raises IndexError."""

    def __len__(self) -> int:
        return 6

    def __getitem__(self, i: int) -> tuple[np.ndarray, int]:
        return RGB[i % 6], LABELS[i % 6]


@pytest.mark.parametrize(
    "given",
    [
        lambda: list(zip(RGB, LABELS)),
        lambda: ((x, y) for x, y in zip(RGB, LABELS)),
        lambda: NoIter(),
        lambda: [[Image.fromarray(x), np.int32(y)] for x, y in zip(RGB, LABELS)],
        lambda: [(x, bool(y)) for x, y in zip(RGB, LABELS)],
        lambda: [(x, float(y)) for x, y in zip(RGB, LABELS)],
        lambda: [(x, torch.tensor(y)) for x, y in zip(RGB, LABELS)],
        lambda: [(x, np.array([y])) for x, y in zip(RGB, LABELS)],
        lambda: [{"image": x, "label": y, "id": 7} for x, y in zip(RGB, LABELS)],
        lambda: [{"img": x, "fine_label": y} for x, y in zip(RGB, LABELS)],
        lambda: TensorDataset(TENSORS, torch.tensor(LABELS)),
        lambda: TensorDataset(TENSORS / 255, torch.tensor(LABELS)),
        lambda: ConcatDataset([Subset(NoIter(), rows) for rows in ([0, 1], [2, 3, 4, 5])]),
        lambda: [(x / 255, y) for x, y in zip(RGB, LABELS)],
        lambda: [(x.astype(np.int64), y) for x, y in zip(RGB, LABELS)],
        lambda: Examples(list(RGB), LABELS),  # pyright: ignore[reportArgumentType]
        lambda: Examples(TENSORS / 255, torch.tensor(LABELS)),  # pyright: ignore[reportArgumentType]
        lambda: Examples(iter(RGB), (y for y in LABELS)),  # pyright: ignore[reportArgumentType]
    ],
)
def test_images_and_labels_arrive_as_they_were(given: Callable[[], Any]) -> None:
    examples = as_examples(given())
    assert examples.labels.tolist() == LABELS
    assert examples.labels.dtype == np.int64
    assert np.array_equal(np.stack([np.asarray(read_image(image)) for image in examples.images]), RGB)


def reused(kind: str) -> Iterator[tuple[Any, Any]]:
    """Pairs that are the same image and the same label each time, changed in between."""
    pixels, label = np.zeros((2, 2, 3), dtype=np.uint8), torch.zeros((), dtype=torch.int64)
    tensor, picture = torch.from_numpy(pixels).permute(2, 0, 1), Image.new("RGB", (2, 2))
    for number in range(3):
        pixels[:] = 50 * number
        picture.paste((50 * number,) * 3, (0, 0, 2, 2))
        yield {"array": pixels, "view": pixels[:], "tensor": tensor, "picture": picture}[kind], label.fill_(number)


@pytest.mark.parametrize("kind", ["array", "view", "tensor", "picture"])
@pytest.mark.parametrize(
    "given",
    [reused, lambda kind: Examples((x for x, _ in reused(kind)), (y for _, y in reused(kind)))],  # type: ignore
)
def test_a_buffer_that_is_used_again_gives_each_image(given: Callable[[str], Any], kind: str) -> None:
    examples = as_examples(given(kind))
    assert [np.asarray(read_image(image)).max() for image in examples.images] == [0, 50, 100]
    assert examples.labels.tolist() == [0, 1, 2]


@pytest.mark.parametrize("kind", ["gif", "tif"])
def test_frames_of_one_file_are_images_each(kind: str, tmp_path: Path) -> None:
    first, *rest = (Image.new("L", (4, 4), 50 * number) for number in range(3))
    first.save(tmp_path / f"a.{kind}", save_all=True, append_images=rest)
    frames = ImageSequence.Iterator(Image.open(tmp_path / f"a.{kind}"))
    examples = as_examples((frame, number) for number, frame in enumerate(frames))
    assert [np.asarray(read_image(image)).max() for image in examples.images] == [0, 50, 100]


def test_what_a_list_holds_and_files_are_not_copied(folder: Path) -> None:
    assert np.shares_memory(as_examples([(RGB[0], 1)]).images[0], RGB)  # pyright: ignore
    image = Image.open(folder / "ant" / "0.png")
    assert as_examples(iter([(image, 1)])).images[0] is image


def test_images_that_are_no_arrays_and_columns_of_pandas(folder: Path) -> None:
    path = folder / "ant" / "0.png"
    given = [path, path.read_bytes(), path.open("rb"), {"bytes": path.read_bytes(), "path": None}]
    images = as_examples([(image, 0) for image in given]).images
    assert len({np.asarray(read_image(image)).tobytes() for _ in range(2) for image in images}) == 1
    pandas = pytest.importorskip("pandas")
    column = pandas.Series(["a", "b", "c"], index=[2, 1, 0])
    assert list(Examples(column, column.index).take(np.array([0, 2])).images) == ["a", "c"]


@pytest.mark.parametrize(
    ("labels", "right"),
    [
        (np.array([0, 1, 1, 0, 1, 0], dtype=object), LABELS),
        (np.array(LABELS, dtype=np.uint64), LABELS),
        ([True, False] * 3, [1, 0] * 3),
        ([3] * 6, [3] * 6),
    ],
)
def test_labels_of_many_types(labels: Any, right: list[int]) -> None:
    assert Examples(RGB, labels).labels.tolist() == right
    assert len(Examples([], np.array([]))) == 0


def test_what_is_known_of_images_stays_with_them() -> None:
    labelled, plain = Examples(RGB, LABELS, list("abcdef")), Examples(RGB)
    both = as_examples(labelled.take(np.array([4, 1])) + labelled.take(np.array([0])))
    assert (both.labels.tolist(), both.groups.tolist()) == ([LABELS[4], LABELS[1], LABELS[0]], ["e", "b", "a"])
    assert (plain + plain.take(np.array([2]))).labels is None
    batch = next(iter(Decoded(plain, Protocol(image_size=8)).batches(in_order(6, 6))))
    assert batch.labels is None


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Examples(RGB) + Examples(RGB, LABELS), "have labels and others have none"),
        (lambda: Examples(RGB, LABELS, LABELS) + Examples(RGB, LABELS), "have groups and others have none"),
        (lambda: Examples(RGB, LABELS, LABELS[1:]), "6 images and 5 groups: give one group for each"),
    ],
)
def test_nothing_known_is_dropped(make: Callable[[], Examples], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        make()


@pytest.mark.parametrize(
    "need",
    [
        lambda plain: with_splits(Dataset("plain", ("a", "b"), plain), Protocol()),
        lambda plain: fit(create_model(make_backbone(), "linear", num_classes=2), plain, None),
        lambda plain: Decoded(plain, Protocol(image_size=8)).labels,
    ],
)
def test_what_needs_labels_says_so(need: Any) -> None:
    with pytest.raises(UserError, match="These images have no labels, which are needed here"):
        need(Examples(RGB))


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (lambda: 3, "A int is no list of labelled images"),
        (lambda: "photos/", "A str is no list"),
        (lambda: RGB, "A ndarray is no list"),
        (lambda: {"image": RGB, "label": LABELS}, "A dict is no list"),
        (lambda: load_dataset("digits"), "A Dataset is no list of labelled images: give Examples, such as the train"),
        (lambda: DataLoader(TensorDataset(TENSORS, torch.tensor(LABELS))), "give the data set that it loads"),
        (lambda: [(RGB, LABELS)], "Item 0: An array of shape .*a batch"),
        (lambda: (RGB, LABELS), "Item 0: a ndarray is no pair"),
        (lambda: [(RGB[0], 1, "extra")], "Item 0: a tuple of 3 is no pair"),
        (lambda: [(RGB[0], 1), (None, 1)], "Item 1: a NoneType is no image"),
        (lambda: [{"pixels": RGB[0], "label": 1}], "has no image or img"),
        (lambda: [(RGB[0], "cat")], "The label 'cat' is no class index"),
        (lambda: [(RGB[0], None)], "The label 'None' is no class index"),
        (lambda: [(RGB[0], 0.5)], "The label '0.5' is no class index"),
        (lambda: [(RGB[0], float("nan"))], "The label 'nan' is no class index"),
        (lambda: [(RGB[0], [0, 1])], "is no class index"),
        (lambda: [(RGB[0], b"a")], "is no class index"),
        (lambda: [(RGB[0], 10**30)], "The label '10+' is no class index"),
        (lambda: [(RGB[0], 1e30)], r"The label '1e\+30' is no class index"),
        (lambda: [(io.StringIO("x"), 0)], "opened as text is no image"),
        (lambda: Examples(list(RGB), np.array([2**64 - 1] * 6, np.uint64)), "The label '18446744073709551615' is no"),
        (lambda: Examples(list(RGB), np.array([0, "a"] * 3, object)), "The label 'a' is no class index"),
        (lambda: Examples(list(RGB), np.array(3)), "one class index an image: give one for each"),
        *((lambda odd=odd: Examples(list(RGB), odd), "The labels are given as") for odd in ODD[1:]),
        *((lambda odd=odd: Examples(odd, [0, 1]), "The images are given as") for odd in ODD),
        (lambda: Examples(list(RGB), np.eye(2)[LABELS]), "give labels.argmax"),
        (lambda: Examples(list(RGB), np.array(["a", "b"] * 3)), "The label 'a' is no class index"),
        (lambda: Examples(list(RGB), np.array(LABELS[:5])), "6 images and 5 labels"),
        (lambda: TensorDataset((TENSORS / 255 - 0.5) / 0.2, torch.tensor(LABELS)), "Item 0: .* not normalised"),
        (lambda: [(np.full((4, 4), np.nan), 0)], "values from nan to nan"),
        (lambda: [(np.full((4, 4), 256), 0)], "values from 256 to 256"),
        (lambda: [(np.zeros((5, 5, 2)), 0)], r"shape \(5, 5, 2\) is no image"),
        (lambda: [(np.zeros((0, 4)), 0)], r"shape \(0, 4\) is no image"),
    ],
)
def test_what_cannot_be_taken_is_said(given: Callable[[], Any], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        as_examples(given())


def test_arrays_of_every_layout_become_pixels() -> None:
    grey, rgb = RGB[0, ..., 0], RGB[0]
    tensor = torch.from_numpy(grey)
    for same in (grey, grey[..., None], grey[None], tensor, tensor[None], (tensor / 255).half()):
        assert np.array_equal(to_pixels(same), grey)
    for same in (rgb, TENSORS[0], TENSORS[0].numpy(), torch.from_numpy(rgb), TENSORS[0].double() / 255):
        assert np.array_equal(to_pixels(same), rgb)
    assert np.array_equal(to_pixels(grey > 99), 255 * (grey > 99))
    assert to_pixels(grey.astype(np.uint16) * 16).dtype == np.uint16  # for `read_image` to scale


def test_files_of_an_image_folder_are_taken_with_its_own_labels(folder: Path) -> None:
    plain = ImageFolder(str(folder))
    turned = ImageFolder(str(folder), target_transform=lambda label: 2 - label)
    subset = ConcatDataset([Subset(turned, [0, 29]), Subset(Subset(plain, range(10, 30)), [0])])
    examples = as_examples(subset)
    assert [Path(str(p)).parent.name for p in examples.images] == ["ant", "cow", "bee"]
    assert examples.labels.tolist() == [2, 0, 1]
    seen = as_examples(ImageFolder(str(folder), transform=lambda image: ToTensor()(image)[:, :8, :9]))
    assert np.asarray(seen.images[0]).shape == (8, 9, 3)  # what passes through a transform is not the file's

    class Mine(ImageFolder):
        def __getitem__(self, index: int) -> Any:
            return super().__getitem__(index)[0], 1

    assert set(as_examples(Mine(str(folder))).labels.tolist()) == {1}


@pytest.mark.parametrize(
    ("train", "val", "sentence"),
    [
        ([1, 2, 1, 2], [0, 1], "2 of the training images have the label 2, .* start at 1, so subtract 1"),
        ([0, 1, -1], [0, 1], "1 of the training images have the label -1, .* leave images without a label out"),
        ([0, 1, -100, -100], [0, 1], "2 of the training images have the label -100"),
        ([0, 1], [0, 1, 5], "1 of the validation images have the label 5, but labels of 2 classes are 0 to 1"),
        ([], [0, 1], "There are no training images"),
        ([0, 1], [], "There are no validation images"),
    ],
)
def test_labels_are_checked_before_anything_is_trained(train: list[int], val: list[int], sentence: str) -> None:
    model = create_model(make_backbone(), "vpt", num_classes=2, num_prompts=2)
    splits = [[(RGB[0], label) for label in labels] for labels in (train, val)]
    with pytest.raises(UserError, match=sentence):
        fit(model, *splits)


def test_validation_on_training_images_is_said(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    model = create_model(make_backbone(), "linear", num_classes=3)
    pairs = ImageFolder(str(folder))
    with caplog.at_level(logging.WARNING, "selfprompt"):
        fit(model, pairs, Subset(pairs, [4]), recipe=Recipe(epochs=1, batch_size=8, lr=1e-3))
    assert "4.png" in caplog.text
