"""The evaluation protocol: everything besides the method that moves a number, named and hashed.

Results of one protocol can be compared; results of two cannot, and every result carries its protocol's hash.
"""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PositiveFloat, PrivateAttr, SerializeAsAny

from selfprompt.backbones.info import BackboneInfo, Interpolation
from selfprompt.data.tables import Kind
from selfprompt.errors import UserError
from selfprompt.marks import optional
from selfprompt.scores.asked import Metric

if TYPE_CHECKING:
    from selfprompt.backbones.base import Backbone
    from selfprompt.data.examples import Examples
    from selfprompt.data.templates import Reader
    from selfprompt.data.views.base import View
    from selfprompt.data.views.text import TextView


Classes = Literal["all", "base", "new"]
"""All of a data set's classes, or the first or second half of them."""

Augmentation = Literal[
    "none",
    "flip",
    "crop_flip",
    "resize_crop_flip",
    "squash_crop_flip",
    "randaugment",
    "flip+randaugment",
    "crop_flip+randaugment",
    "resize_crop_flip+randaugment",
    "squash_crop_flip+randaugment",
]
"""What changes where pixels are, and whether RandAugment follows."""


class Split(BaseModel):
    """How examples are split.

    Args:
        train_images: Keep this many labelled images, stratified; left open, all.
        val_fraction: Share cut for validation where the data has no such split of its own.
        test_fraction: Share cut for the test where the data has no such split of its own.
        split_seed: Seed of those cuts. It is not the seed of a run.
        shots: Train on this many images of each class, drawn by the run's seed; min(shots, 4) more, or of the data's
            own validation images, are for validation (CoOp's few-shot protocol).
        val_shots: How many of each class that is in the place of min(shots, 4); as many as shots, as PPT has it.
        classes: base is the first half of the classes in the data set's order, the middle one with it; new the rest.
    """

    model_config = ConfigDict(defer_build=True)

    train_images: int | None = Field(default=None, ge=1)
    val_fraction: float = Field(default=0.2, gt=0, lt=1)
    test_fraction: float = Field(default=0.2, gt=0, lt=1)
    split_seed: int = Field(default=0, ge=0, lt=2**32)
    shots: int | None = Field(default=None, ge=1)
    val_shots: int | None = Field(default=None, ge=1)
    classes: Classes = "all"


class Selection(BaseModel):
    """Which epoch and metric are reported.

    Args:
        selection: best_val reports the epoch that validation's metric says is the best; last the last one.
        final: What a comparison's last runs are trained on, once rate and decay are chosen: train, with the epoch
            selected on validation; or train+val to the last epoch, as VTAB-1K does.
        metric: What selects the epoch, ends a run by patience, and ranks the rows of a comparison: the accuracy
            (top1); the mean recall of all classes (balanced_accuracy), or of their F1 (macro_f1), to which small
            classes count as much as large ones; or, where an image may have several labels, always the mean average
            precision of all classes (map). Left open, it is top1 or map.
    """

    model_config = ConfigDict(defer_build=True)

    selection: Literal["best_val", "last"] = "best_val"
    final: Literal["train", "train+val"] = "train"
    metric: Metric = "top1"


class ImageSettings(BaseModel):
    """How images become tensors.

    Args:
        image_size: Side of the square input in pixels.
        resize: crop resizes the short side to image_size / crop_fraction and cuts the centre; squash resizes both
            sides to image_size and loses the aspect ratio.
        crop_fraction: Share of the resized short side that the centre crop keeps.
        interpolation: Filter of the resize (Pillow's, which is antialiased).
        mean, std: Per-channel normalisation of values in [0, 1]; the backbone's own by default.
        augmentation: Of the training images alone. crop_flip is a random resized crop (8 to 100 % of the area) with a
            horizontal flip, as FGVC is trained in the SPT paper; resize_crop_flip resizes as the test does, then cuts
            a random square and flips, as in VPT's; squash_crop_flip resizes both sides to image_size, then crops
            and flips as crop_flip, as CoOp did at first; flip is the flip alone. RandAugment (arXiv 1909.13719)
            stands alone or comes last.
        value_range: The values that become black and white in images of more than 8 bits a channel; left open, the
            training images decide.
    """

    model_config = ConfigDict(defer_build=True)

    image_size: int = Field(default=224, ge=1)
    resize: Literal["crop", "squash"] = "crop"
    crop_fraction: float = Field(default=1.0, gt=0, le=1)
    interpolation: Interpolation = "bicubic"
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[PositiveFloat, PositiveFloat, PositiveFloat] = (0.229, 0.224, 0.225)
    augmentation: Augmentation = "none"
    value_range: tuple[float, float] | None = None


class TextSettings(BaseModel):
    """How texts become tokens.

    Args:
        max_length: Most tokens, those of template and prompts included; left open, what the backbone takes.
    """

    model_config = ConfigDict(defer_build=True)

    max_length: int | None = Field(default=None, ge=2)


class BaseProtocol(Split, Selection, ABC):
    """What protocols of all kinds of input share.

    Args:
        name: A name to print beside numbers.
        multi_label: Whether an example may have several labels, or none: probabilities are then sigmoids, not a
            softmax. The training examples decide (see `completed`).

    Attributes:
        inputs: What they are, in a word: the name of the tower that takes them.
        reading: The fields that say how a source becomes a tensor.
        kind: Of input; stored protocols are known by it, images where there is none.
        first: Fields of the first hashes, which are in every hash and record. One that came later counts only where
            it is not at its default, so that hashes printed before stay true.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, defer_build=True)

    inputs: ClassVar[Kind]
    reading: ClassVar[type[BaseModel]]
    first: ClassVar[frozenset[str]] = frozenset(
        ["train_images", "val_fraction", "test_fraction", "split_seed", "selection", "final", "metric"]
    )
    name: str = "selfprompt"
    multi_label: bool = False

    @abstractmethod
    def view(self) -> View:
        """What a model sees of a source."""

    @property
    @optional
    def side(self) -> int | None:
        """Side of a square image in pixels; None where there are no images."""
        return None

    @optional
    def check(self, info: BackboneInfo) -> None:
        """Raise `UserError` unless a backbone takes what the view gives."""

    @optional
    def read_by(self, backbone: Backbone, template: str | None) -> BaseProtocol:
        """The protocol with what it leaves to the backbone, and to a method's template for texts.

        Raises:
            UserError: It is of another tokenizer or template.
        """
        return self

    @optional
    def completed(self, examples: Examples) -> Self:
        """The protocol with what it leaves to the training examples.

        Raises:
            UserError: Its metric is not one of such labels.
        """
        several, chosen = examples.multi_label, "metric" in self.model_fields_set
        known = ("map",) if several else ("top1", "balanced_accuracy", "macro_f1")
        if self.metric not in known and (chosen or not several):
            kind = "several labels an example" if several else "one label an example"
            fix = "use --metric map" if several else "use top1, balanced_accuracy or macro_f1"
            raise UserError(f"--metric {self.metric} is not for data with {kind}: {fix}.")
        settled = {"multi_label": several, "metric": "map" if several else self.metric}
        return self if all(getattr(self, k) == v for k, v in settled.items()) else self.model_copy(update=settled)

    @property
    def hash(self) -> str:
        """Twelve hexadecimal digits that change with every field but the name."""
        known = type(self).model_fields
        later = known.keys() - self.first - {"kind"}
        unset = {name for name in later if getattr(self, name) == known[name].default}
        fields = self.model_dump(mode="json", exclude={"name"} | unset)
        return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()[:12]

    def __str__(self) -> str:
        return f"{self.name}-{self.hash}"


class Protocol(ImageSettings, BaseProtocol):
    """The protocol of images: how they become tensors, how they are split, which epoch and metric are reported.

    Its fields are those of `ImageSettings`, `Split` and `Selection`.
    """

    inputs: ClassVar[Kind] = "image"
    reading: ClassVar[type[BaseModel]] = ImageSettings
    first: ClassVar[frozenset[str]] = BaseProtocol.first | frozenset(
        ["image_size", "resize", "crop_fraction", "interpolation", "mean", "std", "augmentation"]
    )

    def view(self) -> View:
        from selfprompt.data.views.image import ImageView  # it imports torch

        return ImageView(self)

    @property
    def side(self) -> int:
        return self.image_size

    def check(self, info: BackboneInfo) -> None:
        if self.image_size != info.image_size:
            raise UserError(
                f"The protocol has images of {self.image_size} pixels, the backbone wants {info.image_size}: load it "
                f"with image_size={self.image_size}."
            )

    def completed(self, examples: Examples) -> Self:
        from selfprompt.data.images import common_range

        known = super().completed(examples)
        span = self.value_range or common_range(examples.images)
        return known if span is None else known.model_copy(update={"value_range": span})


class TextProtocol(TextSettings, BaseProtocol):
    """The protocol of texts: how they become tokens, how they are split, which epoch and metric are reported.

    Args:
        template: What a text is filled into (see `Template`); left open, the method's, or the text alone.
        max_length: See `TextSettings`.
        tokenizer: What tells the tokenizer from others; left open, it is the backbone's.
    """

    inputs: ClassVar[Kind] = "text"
    reading: ClassVar[type[BaseModel]] = TextSettings
    kind: Literal["text"] = "text"
    template: str | None = None
    tokenizer: str | None = None
    _reader: Reader | None = PrivateAttr(default=None)

    def view(self) -> TextView:
        from selfprompt.data.templates import Template  # they import torch
        from selfprompt.data.views.text import TextView

        if self._reader is None or self.template is None:
            raise UserError("This protocol has no tokenizer yet: make a model with it (create_model).")
        longest = self._reader.longest
        return TextView(Template(self.template), self._reader, min(longest, self.max_length or longest))

    def check(self, info: BackboneInfo) -> None:
        if info.image_size is not None:
            raise UserError(
                f"The protocol is of texts, and {info.name} takes images: leave it out, or give text:NAME."
            )

    def read_by(self, backbone: Backbone, template: str | None) -> TextProtocol:
        from selfprompt.backbones.text import TextBackbone
        from selfprompt.data.templates import Reader, Template

        name = backbone.info.name
        if not isinstance(backbone, TextBackbone):
            raise UserError(f"The protocol is of texts of transformers, and {name} is no such model: give text:NAME.")
        own = backbone.vocabulary.mark
        if self.tokenizer not in (None, own):
            raise UserError(f"The tokenizer of {name} is another than that of the protocol: give the right backbone.")
        if None not in (template, self.template) and template != self.template:
            raise UserError(
                f"The protocol has the template {self.template!r} and the method {template!r}: give it to the method."
            )
        pattern = self.template or template or "{text}"
        if template is None and (soft := Template(pattern).soft):
            raise UserError(f"The template has {soft} soft tokens, and the method has no prompts among words.")
        made = self.model_copy(update={"template": pattern, "tokenizer": own})
        made._reader = Reader(backbone.vocabulary, backbone.kind, backbone.num_patches)
        return made


def of_its_kind(protocol: Any) -> Any:
    """A stored protocol as the one of its kind; a metric that may have been left open is."""
    if not isinstance(protocol, dict):
        return protocol
    protocol = {name: value for name, value in protocol.items() if (name, value) != ("metric", "top1")}
    kinds = {
        kind.model_fields["kind"].default: kind
        for kind in BaseProtocol.__subclasses__()
        if "kind" in kind.model_fields
    }
    return kinds.get(protocol.get("kind"), Protocol).model_validate(protocol)


AnyProtocol = Annotated[SerializeAsAny[BaseProtocol], BeforeValidator(of_its_kind)]
"""A field that holds a protocol of any kind."""


def image_protocol(protocol: BaseProtocol) -> Protocol:
    """A protocol, as one of images.

    Raises:
        UserError: It is of something else.
    """
    if not isinstance(protocol, Protocol):
        raise UserError("The adapter takes no images, as is needed here.")
    return protocol


def protocol_for(info: BackboneInfo, **changes: Any) -> Protocol | TextProtocol:
    """The default protocol for a backbone, with ``changes``: of images its size, resizing and normalisation.

    Raises:
        UserError: A change is of the other kind of input.
    """
    kind, other = (TextProtocol, Protocol) if info.image_size is None else (Protocol, TextProtocol)
    if odd := [name for name in changes if name not in kind.model_fields and name in other.model_fields]:
        flag = "--" + odd[0].replace("_", "-")
        raise UserError(f"{flag} is for {other.inputs}s, and {info.name} takes {kind.inputs}s: leave it out.")
    if kind is TextProtocol:
        return TextProtocol(**changes)
    own = {
        "image_size": info.image_size,
        "resize": info.resize,
        "crop_fraction": info.crop_fraction,
        "interpolation": info.interpolation,
        "mean": info.mean,
        "std": info.std,
    }
    return Protocol(**(own | changes))
