"""What people hand to a fit: right images and labels, or one sentence."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import ConcatDataset, DataLoader, Subset, TensorDataset
from torchvision.datasets import ImageFolder
from torchvision.transforms import ToTensor

from conftest import make_backbone
from selfprompt.data.arrays import to_pixels
from selfprompt.data.examples import Examples
from selfprompt.data.images import read_image
from selfprompt.data.pairs import as_examples
from selfprompt.data.sources import load_dataset
from selfprompt.errors import UserError
from selfprompt.methods.recipe import Recipe
from selfprompt.model import create_model
from selfprompt.tuning.fit import fit

RGB = np.random.default_rng(0).integers(0, 256, (6, 8, 10, 3), dtype=np.uint8)
LABELS = [0, 1, 1, 0, 1, 0]
TENSORS = torch.from_numpy(RGB).permute(0, 3, 1, 2)


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
