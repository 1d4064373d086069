"""The evaluation protocol: everything besides the method that moves a number, named and hashed.

Results of one protocol can be compared; results of two cannot, and every result carries its protocol's hash.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat

from selfprompt.backbones.base import BackboneInfo, Interpolation

FIRST_FIELDS = {"image_size", "resize", "crop_fraction", "interpolation", "mean", "std", "augmentation", "metric"}
FIRST_FIELDS |= {"train_images", "val_fraction", "test_fraction", "split_seed", "selection", "final"}
"""Fields of the first hashes, which are in every hash."""


class Protocol(BaseModel):
    """How images become tensors, how they are split, and which epoch and metric are reported.

    Args:
        name: A name to print beside numbers.
        image_size: Side of the square input in pixels.
        resize: ``"crop"`` resizes the short side to ``image_size / crop_fraction`` and cuts the centre;
            ``"squash"`` resizes both sides to ``image_size`` and loses the aspect ratio.
        crop_fraction: Share of the resized short side that the centre crop keeps.
        interpolation: Filter of the resize (Pillow's, which is antialiased).
        mean, std: Per-channel normalisation of values in [0, 1]; the backbone's own by default.
        augmentation: Of the training images alone. ``"crop_flip"`` is a random resized crop (8 to 100 % of
            the area) with a horizontal flip, as FGVC is trained in the SPT paper; ``"resize_crop_flip"`` resizes as
            the test does, then cuts a random square and flips, as in VPT's; ``"flip"`` is the flip alone.
        train_images: Keep this many labelled images, stratified; None keeps all.
        val_fraction, test_fraction: Shares cut from the data where it has no such split of its own.
        split_seed: Seed of those cuts. It is not the seed of a run.
        selection: ``"best_val"`` reports the epoch of the best validation accuracy; ``"last"`` the last one.
        final: What a comparison's last runs are trained on, once rate and decay are chosen: ``"train"``, with the
            epoch selected on validation; or ``"train+val"`` to the last epoch, as VTAB-1K does.
        metric: Top-1 accuracy in percent.
        value_range: The values that become black and white in images of more than 8 bits a channel; None leaves it
            to the training images.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: str = "selfprompt"
    image_size: int = Field(default=224, ge=1)
    resize: Literal["crop", "squash"] = "crop"
    crop_fraction: float = Field(default=1.0, gt=0, le=1)
    interpolation: Interpolation = "bicubic"
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[PositiveFloat, PositiveFloat, PositiveFloat] = (0.229, 0.224, 0.225)
    augmentation: Literal["none", "flip", "crop_flip", "resize_crop_flip"] = "none"
    train_images: int | None = Field(default=None, ge=1)
    val_fraction: float = Field(default=0.2, gt=0, lt=1)
    test_fraction: float = Field(default=0.2, gt=0, lt=1)
    split_seed: int = Field(default=0, ge=0, lt=2**32)
    selection: Literal["best_val", "last"] = "best_val"
    final: Literal["train", "train+val"] = "train"
    metric: Literal["top1"] = "top1"
    value_range: tuple[float, float] | None = None

    @property
    def hash(self) -> str:
        """Twelve hexadecimal digits that change with every field but the name.

        A field that came later counts only where it is not at its default, so that hashes printed before stay true.
        """
        known = type(self).model_fields
        unset = {name for name in known.keys() - FIRST_FIELDS if getattr(self, name) == known[name].default}
        fields = self.model_dump(mode="json", exclude={"name"} | unset)
        return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()[:12]

    def __str__(self) -> str:
        return f"{self.name}-{self.hash}"


def protocol_for(info: BackboneInfo, **changes: Any) -> Protocol:
    """The default protocol for a backbone: its own input size, resizing and normalisation, with ``changes``."""
    own = {
        "image_size": info.image_size,
        "resize": info.resize,
        "crop_fraction": info.crop_fraction,
        "interpolation": info.interpolation,
        "mean": info.mean,
        "std": info.std,
    }
    return Protocol(**(own | changes))
