"""ImageNet's variants with shifted images, on disk as CoOp has them: there to test on, not to train."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from selfprompt.registry import Record

if TYPE_CHECKING:
    from selfprompt.data.datasets import Dataset

RECORD = Record(
    name="imagenet-shift",
    title="ImageNet-V2, -Sketch, -A and -R",
    url="https://github.com/KaiyangZhou/CoOp/blob/main/DATASETS.md",
    year=2022,
    idea="ImageNet's classes in other images, or 200 of them, to test on; looked for on disk.",
    on_disk=True,
    parts=("v2", "sketch", "a", "r"),
)


@dataclass(frozen=True)
class Variant:
    """Its folder, that of its images within, classes and images."""

    folder: str
    images: str
    classes: int
    test: int


VARIANTS = {
    "v2": Variant("imagenetv2", "imagenetv2-matched-frequency-format-val", 1000, 10_000),
    "sketch": Variant("imagenet-sketch", "images", 1000, 50_889),
    "a": Variant("imagenet-adversarial", "imagenet-a", 200, 7_500),
    "r": Variant("imagenet-rendition", "imagenet-r", 200, 30_000),
}


def load(part: str) -> Dataset:
    """One variant: a test set alone.

    Raises:
        UserError: It is not on disk, or not whole; the message names the file.
    """
    from selfprompt.data import zhou  # not before data is read: flags name the tasks
    from selfprompt.data.listed import Expected, checked

    variant, name = VARIANTS[part], f"imagenet-shift/{part}"
    folder = zhou.place(name, variant.folder)
    names = zhou.class_names(name, folder)
    test = zhou.class_folders(name, folder / variant.images, names, numbered=part == "v2")
    return checked(Expected(name, variant.classes, 0, variant.test), folder, {"test": test}, names)
