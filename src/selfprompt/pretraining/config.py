"""What decides a pretraining run of each kind."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat

from selfprompt.methods.recipe import LARGEST

Share = Annotated[float, Field(ge=0, lt=1)]


class Settings(BaseModel, ABC):
    """Architecture and recipe of one pretraining run; the weights' file carries it.

    Args:
        width: Of the transformer; with towers, of that of images.
        depth: Blocks of that transformer.
        heads: Attention heads of that transformer.
        batch_size: Images, or windows of text, in one optimiser step.
        lr: Peak learning rate, after a warm-up of 5 % and before a cosine to zero.
        betas: Of AdamW.
        weight_decay: Of AdamW.
        seed: Of weights, masks, crops and order.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, defer_build=True)

    width: int = Field(default=128, ge=16)
    depth: int = Field(default=8, ge=1)
    heads: int = Field(default=4, ge=1)
    batch_size: int = Field(default=256, ge=1)
    lr: float = Field(default=1.5e-3, gt=0, le=LARGEST)
    betas: tuple[Share, Share] = (0.9, 0.95)
    weight_decay: float = Field(default=0.05, ge=0, le=LARGEST)
    seed: int = Field(default=0, ge=0, lt=2**32)

    @property
    @abstractmethod
    def steps(self) -> int:
        """Of the optimiser."""


class ImageSettings(Settings, ABC):
    """Those of kinds that see images.

    Args:
        image_size: Side of the input in pixels, after crops.
        patch_size: Side of a patch in pixels.
        images_seen: Training images in all, repeats counted.
        mean: Of each channel, for values in [0, 1].
        std: Of each channel, for values in [0, 1].
    """

    image_size: int = Field(default=32, ge=8)
    patch_size: int = Field(default=4, ge=1)
    images_seen: int = Field(default=750_000, ge=1)
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    std: tuple[PositiveFloat, PositiveFloat, PositiveFloat] = (0.25, 0.25, 0.25)

    @property
    def steps(self) -> int:
        return max(1, self.images_seen // self.batch_size)


class PretrainConfig(ImageSettings):
    """Masked autoencoding.

    Args:
        decoder_width: Width of the decoder's single block.
        mask_ratio: Share of the patches hidden from the encoder.
    """

    decoder_width: int = Field(default=128, ge=16)
    mask_ratio: float = Field(default=0.75, gt=0, lt=1)

    def architecture(self) -> dict[str, Any]:
        """Arguments of timm's VisionTransformer; the mean of the normalised patch tokens is its feature."""
        return {
            "img_size": self.image_size,
            "patch_size": self.patch_size,
            "embed_dim": self.width,
            "depth": self.depth,
            "num_heads": self.heads,
            "num_classes": 0,
            "global_pool": "avg",
            "fc_norm": False,
        }


class ClipConfig(ImageSettings):
    """A pair of towers, of images and of texts.

    Args:
        text_width: Of the text transformer.
        text_depth: Blocks of the text transformer.
        text_heads: Attention heads of the text transformer.
        embed: Numbers of an image's, and of a text's, feature.
        context: Tokens of the longest text, with those of start and end.
        merges: Of the vocabulary, which is made from the captions.
        captions: Of each image in a step, if it has so many.
        patch_dropout: Share of the patches left out at random, but in the last 7 % of the steps.
        image_lr: Peak learning rate of the image tower, if it has one of its own.
        scale_lr: Peak learning rate of the scale's logarithm.
        start: A weights file, or builtin, whose first blocks the image tower starts from.
    """

    depth: int = Field(default=6, ge=1)
    images_seen: int = Field(default=2_000_000, ge=1)
    batch_size: int = Field(default=192, ge=2)
    betas: tuple[Share, Share] = (0.9, 0.98)
    weight_decay: float = Field(default=0.1, ge=0, le=LARGEST)
    text_width: int = Field(default=128, ge=16)
    text_depth: int = Field(default=4, ge=1)
    text_heads: int = Field(default=4, ge=1)
    embed: int = Field(default=128, ge=8)
    context: int = Field(default=32, ge=4)
    merges: int = Field(default=1_500, ge=0)
    captions: int = Field(default=3, ge=1)
    patch_dropout: float = Field(default=0.5, ge=0, lt=1)
    image_lr: float | None = Field(default=None, gt=0, le=LARGEST)
    scale_lr: float = Field(default=0.01, gt=0, le=LARGEST)
    start: str | None = None


class TextConfig(Settings):
    """A masked language model.

    Args:
        inner: Width of a block's gated MLP.
        vocabulary: Tokens, which are made from the texts.
        window: Tokens in a row; short texts share one, each for itself, and longer ones are cut.
        tokens_seen: Training tokens in all, repeats counted.
        mask_ratio: Share of the patches, or of a window's tokens, that are hidden; a window's own is drawn between a
            half and three halves of it.
        word_lr: Peak learning rate of the words' vectors, which start from what stands near each word.
        ends: Share of the texts whose first word, or last, is hidden whole.
        held_out: Share of the documents kept from training, on which the loss is measured in the end.
        compiled: Make steps faster by torch.compile, which needs a C++ compiler.
    """

    width: int = Field(default=192, ge=16)
    depth: int = Field(default=4, ge=1)
    heads: int = Field(default=6, ge=1)
    batch_size: int = Field(default=48, ge=1)
    lr: float = Field(default=3e-3, gt=0, le=LARGEST)
    betas: tuple[Share, Share] = (0.9, 0.98)
    word_lr: float = Field(default=1e-3, gt=0, le=LARGEST)
    inner: int = Field(default=256, ge=16)
    vocabulary: int = Field(default=6_000, ge=100)
    window: int = Field(default=64, ge=8)
    tokens_seen: int = Field(default=10_000_000, ge=1)
    mask_ratio: float = Field(default=0.3, gt=0, lt=1)
    ends: float = Field(default=0.25, ge=0, lt=1)
    held_out: float = Field(default=0.01, gt=0, lt=1)
    compiled: bool = False

    @property
    def steps(self) -> int:
        return max(1, self.tokens_seen // (self.batch_size * self.window))
