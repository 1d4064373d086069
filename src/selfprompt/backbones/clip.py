"""Two transformers in one space: images, and the texts that name them (CLIP, arXiv 2103.00020)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from selfprompt.backbones.base import Backbone, Tokens, private_copy
from selfprompt.backbones.info import BackboneInfo, Readout
from selfprompt.backbones.precision import as_under_autocast
from selfprompt.backbones.timm_blocks import TimmBlocks
from selfprompt.errors import UserError
from selfprompt.inputs import Inputs, Text

SLOT = -1
"""The id of prompt 0 in a text; prompt j's is ``SLOT - j``."""


@dataclass(frozen=True)
class Words:
    """A tokenizer, as far as prompts need it.

    Args:
        encode: A text to its ids, without those of start and end.
        decode: An id to what it stands for.
        start, end: Those.
        mark: What tells its vocabulary from others.
        largest: Id.
    """

    encode: Callable[[str], list[int]]
    decode: Callable[[int], str]
    start: int
    end: int
    mark: str
    largest: int

    def __deepcopy__(self, memo: Any) -> Words:
        return self


class ClipText(TimmBlocks):
    """A causal text transformer; its feature is the end token's, projected.

    As no token sees a later one, what stands after the end token is never read, and what stands before the first
    difference between texts is the same in all of them.

    Args:
        embedding: Words of the vocabulary, (V, D).
        positions: (L, D), of the longest text.
        blocks: timm's.
        norm, projection: Of the end token.
        words: The tokenizer.
        info: Of the pair.
    """

    num_prefix, patch_size = 0, 0

    def __init__(
        self,
        embedding: nn.Embedding,
        positions: Tensor,
        blocks: nn.ModuleList,
        norm: nn.Module,
        projection: nn.Linear | None,
        words: Words,
        info: BackboneInfo,
    ) -> None:
        super().__init__()
        self.embedding, self.layers, self.norm, self.projection = embedding, blocks, norm, projection
        self.positions = nn.Parameter(positions)
        self.requires_grad_(False).eval()
        self.words, self.info = words, info
        first: Any = blocks[0]
        self.depth, self.width, self.num_heads = len(blocks), embedding.embedding_dim, first.attn.num_heads
        self.num_features = self.width if projection is None else projection.out_features
        self.num_patches, self.token_fan_in = len(positions), self.width
        self.fused_attention = first.attn.fused_attn

    @property
    def blocks(self) -> Sequence[Any]:
        return self.layers  # type: ignore[return-value]

    def visible(self, asking: int, given: int) -> Tensor | None:
        device = self.positions.device
        return torch.ones(asking, given, dtype=torch.bool, device=device).tril(given - asking)

    @as_under_autocast
    def content(self, inputs: Inputs) -> Tensor:
        """(B, L, D) word embeddings; of a slot for a prompt, that of word 0."""
        assert isinstance(inputs, Text)
        return self.embedding(inputs.ids.clamp(min=0))

    @as_under_autocast
    def enter(self, content: Tensor, inputs: Inputs) -> Tokens:
        assert isinstance(inputs, Text)
        return Tokens(self.placed(content), 0, inputs.mask, inputs.at)

    def placed(self, content: Tensor, first: int = 0) -> Tensor:
        """(B, N, D) words at their positions, which begin with ``first``."""
        return content + self.positions[first : first + content.shape[-2]]

    @as_under_autocast
    def readout(self, tokens: Tokens, pool: Readout = "backbone") -> Tensor:
        if pool != "backbone" or tokens.at is None:
            raise UserError(f"The texts of {self.info.name} are read at their end token: leave --readout out.")
        at = tokens.x[torch.arange(len(tokens.x), device=tokens.x.device), tokens.at]
        features = self.norm(at)
        return features if self.projection is None else self.projection(features)


class DualEncoder(nn.Module):
    """A transformer of images and one of texts, with the scale of their cosine.

    Args:
        image, text: The towers.
        scale: The logarithm of the scale, ().
    """

    def __init__(self, image: Backbone, text: ClipText, scale: Tensor) -> None:
        super().__init__()
        self.image, self.text = image, text
        self.register_buffer("scale", scale.detach().float().reshape(()))
        self.scale: Tensor

    @property
    def info(self) -> BackboneInfo:
        """Where both come from, and what images the one wants to see."""
        return self.image.info

    def private(self) -> DualEncoder:
        """A copy of its own modules around the same weights."""
        return private_copy(self)

    def seal(self) -> None:
        """Seal both towers (see `Backbone.seal`)."""
        self.image.seal()
        self.text.seal()

    def train(self, mode: bool = True) -> DualEncoder:
        """Stay in eval mode."""
        return super().train(False)

    def fingerprint(self) -> str:
        """SHA-256 over both towers' fingerprints, the scale and the vocabulary."""
        total = hashlib.sha256()
        for part in (
            self.image.fingerprint(),
            self.text.fingerprint(),
            repr(float(self.scale)),
            self.text.words.mark,
        ):
            total.update(part.encode())
        return total.hexdigest()

    def answers_to(self, known: str) -> bool:
        """Whether that is its fingerprint."""
        return known == self.fingerprint()
