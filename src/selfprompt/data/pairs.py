"""What people hand to a fit, as examples: pairs, rows of a table, data sets of PyTorch."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image
from torch.utils.data import ConcatDataset, DataLoader, Subset

from selfprompt.data.arrays import as_it_is_now, is_array, to_pixels
from selfprompt.data.examples import Examples, class_indices, number
from selfprompt.data.images import ImageSource
from selfprompt.errors import UserError

IMAGE_COLUMNS = ("image", "img")
LABEL_COLUMNS = ("label", "labels", "fine_label", "class", "target")
WANTED = "give Examples, such as the train of a Dataset, or pairs of an image and a class index"


def as_examples(pairs: Any, accept: Callable[[Any], Any] | None = None) -> Examples:
    """Examples of whatever holds images and class indices.

    Args:
        pairs: `Examples`; an iterable of pairs, such as a list, a generator or a data set of PyTorch; or rows with
            an image and a label column, as those of the datasets library. Images are what `read_image` takes, or
            arrays and tensors of other layouts (see `to_pixels`). Of torchvision's ImageFolder without a transform,
            and of the datasets library, the files are taken. What is in memory is copied, unless a list holds it.
        accept: See `View.accept`; by default that of images.

    Raises:
        UserError: It holds something else; the message says what is wanted in its place.
    """
    accept = accept or checked
    if isinstance(pairs, Examples):
        images = Accepted(pairs.images, accept)
        images = list(images) if isinstance(pairs.images, (list, tuple)) else images
        return Examples(images, pairs.labels, pairs.groups)
    known = files_of(pairs)
    images, labels = [], []
    held = isinstance(pairs, (list, tuple))
    for place, item in enumerate(items(encoded(pairs)) if known is None else known):
        try:
            image, label = pair(item)
            images.append(accept(image if held else as_it_is_now(image)))
        except UserError as error:
            raise UserError(f"Item {place}: {error}") from None
        labels.append(number(label))
    return Examples(images, class_indices(labels))


@dataclass(frozen=True)
class Accepted(Sequence[Any]):
    """Sources of a sequence, each as a view takes it when it is asked for: arrays of images become pixels."""

    images: Sequence[Any]
    accept: Callable[[Any], Any]

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, i: Any) -> Any:
        try:
            return self.accept(self.images[i])
        except UserError as error:
            raise UserError(f"Image {i}: {error}") from None


def checked(image: Any) -> ImageSource:
    """An image source as `read_image` takes it.

    Raises:
        UserError: It is something else.
    """
    if is_array(image):
        return to_pixels(image)
    if hasattr(image, "read"):
        image.seek(0)
        if isinstance(image := image.read(), str):
            raise UserError("a file opened as text is no image: open it with mode 'rb'.")
    if isinstance(image, Mapping) and {"bytes", "path"} <= image.keys():
        return image
    if not isinstance(image, (str, bytes, Path, Image.Image)):
        raise UserError(f"a {type(image).__name__} is no image: give a path, a PIL image, or an array.")
    return image


def pair(item: Any) -> tuple[Any, Any]:
    """The image and the label of one item.

    Raises:
        UserError: It is neither a pair nor a row with an image and a label.
    """
    if isinstance(item, Mapping):
        image, label = (one_of(item, names, item) for names in (IMAGE_COLUMNS, LABEL_COLUMNS))
        return item[image], item[label]
    if not isinstance(item, (tuple, list)) or len(item) != 2:
        size = f" of {len(item)}" if isinstance(item, (tuple, list)) else ""
        raise UserError(f"a {type(item).__name__}{size} is no pair of an image and a class index.")
    return item[0], item[1]


def one_of(columns: Iterable[str], names: Sequence[str], row: Iterable[str]) -> str:
    """The first of some names that is a column."""
    found = next((name for name in names if name in columns), None)
    if found is None:
        raise UserError(f"a row of {', '.join(map(str, row))} has no {' or '.join(names)}: {WANTED}.")
    return found


def items(pairs: Any) -> Iterator[Any]:
    """The items of what was given, each once.

    Raises:
        UserError: It has none, or would not say which images they are.
    """
    if isinstance(pairs, DataLoader):
        raise UserError("A DataLoader gives batches, in an order of its own: give the data set that it loads.")
    if not isinstance(pairs, (str, bytes, Path, Mapping)) and not is_array(pairs):
        if hasattr(pairs, "__iter__"):
            return iter(pairs)
        if hasattr(pairs, "__getitem__") and hasattr(pairs, "__len__"):
            return (pairs[i] for i in range(len(pairs)))
    raise UserError(f"A {type(pairs).__name__} is no list of labelled images: {WANTED}.")


def files_of(pairs: Any) -> list[tuple[str, Any]] | None:
    """The files and labels of torchvision's ImageFolder, or of subsets and sums of it; None for all else.

    Where images pass through a transform or a reader of the user's own, they are not the files'.
    """
    if type(pairs) is Subset:
        known = files_of(pairs.dataset)
        return None if known is None else [known[i] for i in pairs.indices]
    if type(pairs) is ConcatDataset:
        parts = [files_of(part) for part in pairs.datasets]
        return None if None in parts else [item for part in parts for item in part or []]
    torchvision: Any = sys.modules.get("torchvision.datasets.folder")
    if torchvision is None or not isinstance(pairs, torchvision.ImageFolder) or pairs.transform is not None:
        return None
    if type(pairs).__getitem__ is not torchvision.DatasetFolder.__getitem__:
        return None
    if pairs.loader is not torchvision.default_loader:
        return None
    relabel = pairs.target_transform or (lambda label: label)
    return [(path, relabel(label)) for path, label in pairs.samples]


def encoded(pairs: Any) -> Any:
    """A table of the datasets library with its images as their files have them, not decoded; all else as it is."""
    datasets: Any = sys.modules.get("datasets")
    if datasets is not None and isinstance(pairs, datasets.Dataset) and pairs.format["type"] is None:
        for column, feature in pairs.features.items():
            if isinstance(feature, datasets.Image) and feature.mode is None:
                pairs = pairs.cast_column(column, datasets.Image(decode=False))
    return pairs
