"""The seam between a frozen transformer and everything that prompts it (see README.md in this folder)."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor, nn

from selfprompt.backbones import fingerprints
from selfprompt.backbones.precision import Original, frozen_matrices
from selfprompt.errors import UserError

M = TypeVar("M", bound=nn.Module)

Pretraining = Literal["supervised", "mae", "mocov3", "dino", "clip", "unknown"]
"""How a backbone was trained: methods publish one recipe for each kind."""

Interpolation = Literal["nearest", "bilinear", "bicubic", "lanczos"]
"""Filter of a resize (Pillow's, which is antialiased)."""

Readout = Literal["backbone", "mae_average", "fresh_average"]
"""How tokens become one feature: see `Backbone.readout`."""


@dataclass(frozen=True)
class Tokens:
    """A stream of tokens between two blocks.

    Args:
        x: (B, N, D) tokens: the prefix (class and register tokens) first.
        num_prefix: How many of them are prefix tokens.
        wanted: Of how many of the first tokens the next block's outputs are read; None means all.
    """

    x: Tensor
    num_prefix: int
    wanted: int | None = None

    def reading(self, wanted: int | None) -> Tokens:
        """The same stream, of which the first ``wanted`` outputs of the next block are read."""
        return Tokens(self.x, self.num_prefix, wanted)

    @property
    def asking(self) -> Tensor:
        """The tokens whose outputs are read, (B, N, D) or (B, wanted, D)."""
        return self.x[:, : self.wanted]

    @property
    def queries(self) -> Tensor | None:
        """`asking` where it is less than all, as `Backbone.attention` takes it."""
        return None if self.wanted is None else self.asking


@dataclass(frozen=True)
class BackboneInfo:
    """Where a backbone comes from and what it wants to see.

    Args:
        name: timm name, file path or ``"builtin"``: what finds the same backbone again.
        architecture: A name for people, such as ``vit_base_patch16_224``.
        pretraining: How it was trained.
        image_size: Side of its square input in pixels.
        mean, std: Normalisation of values in [0, 1].
        interpolation, crop_fraction, resize: How it was evaluated (see `selfprompt.Protocol`).
    """

    name: str
    architecture: str
    pretraining: Pretraining
    image_size: int
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    interpolation: Interpolation = "bicubic"
    crop_fraction: float = 1.0
    resize: str = "crop"


class Backbone(nn.Module, ABC):
    """A transformer as a stream of tokens. It is always in eval mode: dropout and stochastic depth are off.

    Attributes:
        info: Where it comes from and what it wants to see.
        depth, width, num_heads: Blocks, token width D, attention heads.
        num_features: Width F of the readout.
        num_patches: Patch tokens M of one image.
        num_prefix: Class and register tokens.
        patch_size: Side of a patch in pixels.
        fixed_size: Whether images must be of `BackboneInfo.image_size`.
        fused_attention: Whether attention may run in one fused kernel; it does where that is faster.
        original: What a `cast` backbone was made of; None for one that holds its own weights.
        cast_to: In what a `cast` backbone holds its frozen matrices; None for one that holds its own weights.
        watch: Called with the (B, heads, queries, keys) weights of every attention while it is set, and with the
            (B, tokens) weights of a readout that is a mean.
    """

    info: BackboneInfo
    depth: int
    width: int
    num_heads: int
    num_features: int
    num_patches: int
    num_prefix: int
    patch_size: int
    fixed_size: bool
    fused_attention: bool
    original: Original | None = None
    cast_to: torch.dtype | None = None
    watch: Callable[[Tensor], None] | None = None
    _known: tuple[str, bytes] | None = None

    def as_input(self, images: Tensor, normalize: Callable[[Tensor], Tensor]) -> Tensor:
        """(B, 3, H, W) images as the backbone takes them: uint8 ones normalised, floats in its weights' type.

        Raises:
            UserError: They are no such tensor, or of another size.
        """
        if not isinstance(images, Tensor) or not (images.dtype == torch.uint8 or images.is_floating_point()):
            what = images.dtype if isinstance(images, Tensor) else type(images).__name__
            raise UserError(f"The images are {what}: give a tensor (B, 3, H, W) of uint8, or of normalised floats.")
        side = self.info.image_size
        if images.ndim != 4 or images.shape[1] != 3 or (self.fixed_size and images.shape[2:] != (side, side)):
            raise UserError(
                f"The images have the shape {tuple(images.shape)}: {self.info.name} takes (B, 3, {side}, {side})."
            )
        images = normalize(images) if images.dtype == torch.uint8 else images
        return images.to(next(self.parameters()).dtype)

    @abstractmethod
    def embed_patches(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) images to (B, M, D) patch tokens, before class token and position embedding."""

    @abstractmethod
    def embed(self, images: Tensor) -> Tokens:
        """(B, 3, H, W) images to the tokens that enter block 0."""

    @abstractmethod
    def normalize(self, i: int, x: Tensor) -> Tensor:
        """(B, N, D) tokens as the attention of block ``i`` sees them: after its norm, where that comes first."""

    @abstractmethod
    def attention(
        self,
        i: int,
        x: Tensor,
        extra_kv: tuple[Tensor, Tensor] | None = None,
        queries: Tensor | None = None,
        temperature: Tensor | None = None,
        extra_mask: Tensor | None = None,
    ) -> Tensor:
        """The attention branch of block ``i`` without its residual.

        Args:
            i: The block.
            x: (B, N, D) tokens, not normalised, that give keys and values (and queries).
            extra_kv: Further keys and values from `keys_values`, seen beside those of ``x``.
            queries: (B, Q, D) tokens to ask with instead of ``x``, not normalised.
            temperature: A scalar that divides the scores before the softmax.
            extra_mask: (B, P) booleans, which of ``extra_kv`` a sample sees; None means all.

        Returns:
            (B, Q, D), with Q = N where no queries are given.
        """

    @abstractmethod
    def cross_attention(self, i: int, x: Tensor, kv: tuple[Tensor, Tensor]) -> Tensor:
        """The attention of block ``i`` with its own weights, asked by tokens that see only what is given.

        Args:
            i: The block.
            x: (B, N, D) tokens that ask, taken as they are: the block's normalisation is not applied.
            kv: Keys and values from `keys_values`.

        Returns:
            (B, N, D), without a residual.
        """

    @abstractmethod
    def mlp(self, i: int, x: Tensor) -> Tensor:
        """The MLP branch of block ``i`` without its residual, (B, N, D) to (B, N, D)."""

    @abstractmethod
    def keys_values(self, i: int, prompts: Tensor, normalize: bool = True) -> tuple[Tensor, Tensor]:
        """Keys and values that block ``i`` makes of prompts.

        Args:
            i: The block.
            prompts: (P, D), shared by the batch, or (B, P, D).
            normalize: Apply the block's own normalisation first, as to any token.

        Returns:
            Two tensors (heads, P, D / heads) or (B, heads, P, D / heads).
        """

    @abstractmethod
    def readout(self, tokens: Tokens, pool: Readout = "backbone") -> Tensor:
        """Tokens after the last block to (B, F) features.

        Args:
            tokens: The stream.
            pool: ``"backbone"`` pools as the backbone was built to; ``"mae_average"`` takes the final norm of the
                mean over all tokens after the prefix; ``"fresh_average"`` takes the same mean, and a LayerNorm
                without scale and shift in place of the final norm.
        """

    def reads(self, pool: Readout = "backbone") -> int | None:
        """How many of the first tokens `readout` reads; None means all."""
        return None

    def unread(self, pool: Readout = "backbone") -> tuple[nn.Module, ...]:
        """Modules that no feature depends on: they are trained by no method."""
        return ()

    def block(
        self,
        i: int,
        tokens: Tokens,
        extra_kv: tuple[Tensor, Tensor] | None = None,
        temperature: Tensor | None = None,
        extra_mask: Tensor | None = None,
    ) -> Tokens:
        """Block ``i``: both branches, each added to the stream (of which ``tokens.wanted`` are left)."""
        x = tokens.asking + self.attention(i, tokens.x, extra_kv, tokens.queries, temperature, extra_mask)
        return Tokens(x + self.mlp(i, x), tokens.num_prefix)

    def patch_streams(self, images: Tensor, layers: int) -> Iterator[Tensor]:
        """The patch tokens (B, M, D) of ``layers`` layers without prompts, one after the other.

        Layer 0 has the patch embeddings before position embedding; layer i what enters block i, without the prefix.
        """
        yield self.embed_patches(images)
        if layers > 1:
            tokens = self.embed(images)
            for i in range(layers - 1):
                tokens = self.block(i, tokens)
                yield tokens.x[:, tokens.num_prefix :]

    def train(self, mode: bool = True) -> Backbone:
        """Stay in eval mode, whatever the model around it does."""
        return super().train(False)

    def private(self) -> Backbone:
        """A copy of its own modules and flags around the same weights (see `private_copy`)."""
        return private_copy(self)

    def cast(self, dtype: torch.dtype) -> Backbone:
        """This backbone with its frozen matrices held in ``dtype``, in which autocast would cast them at every use.

        Under autocast the results are the same, to the bit; elsewhere it computes as it does there. Norms, positions
        and whatever is trained are shared with this one, and its fingerprint is this one's.
        """
        if self.cast_to == dtype:
            return self
        own = self.own
        if all(matrix.dtype == dtype for _, _, matrix in frozen_matrices(own)):
            return own
        shared = {id(tensor): tensor for tensor in chain(own.parameters(), own.buffers())}
        twin = copy.deepcopy(own, shared)
        for module, name, matrix in frozen_matrices(twin):
            setattr(module, name, nn.Parameter(matrix.to(dtype), requires_grad=False))
        twin.original, twin.cast_to = Original(own), dtype
        return twin

    @property
    def own(self) -> Backbone:
        """This backbone, or what it was `cast` from."""
        return self.original.backbone if self.original else self

    def multiplies_in(self) -> torch.dtype:
        """The type in which matrices are multiplied here and now."""
        device = next(self.parameters()).device.type
        if torch.is_autocast_enabled(device):
            return torch.get_autocast_dtype(device)
        return self.cast_to or torch.float32

    def fingerprint(self) -> str:
        """SHA-256 over names, types, shapes and bytes of all weights and buffers, as they were loaded.

        What is computed from them later (`computing`) differs in the last bit between machines, and leaves it.
        """
        if self.original:
            return self.own.fingerprint()
        marks = fingerprints.marks(self)
        if self._known is None or self._known[1] != marks:
            self._known = fingerprints.digest(self), marks
        return self._known[0]

    def answers_to(self, known: str) -> bool:
        """Whether that is the fingerprint, or (as adapters were once saved) a hash of what was computed here."""
        return known == self.fingerprint() or known == fingerprints.digest(self.own)

    @contextmanager
    def computing(self, known: str | None = None) -> Iterator[None]:
        """Inside, weights are computed from those loaded (another size, another precision): same fingerprint.

        Args:
            known: The fingerprint of what was loaded, where that is not this backbone's own.
        """
        known = known or self.fingerprint()
        yield
        self._known = known, fingerprints.marks(self)

    def _apply(self, fn: Any, recurse: bool = True) -> Backbone:
        weight = next(self.parameters())
        if weight.is_meta or fn(weight.detach()[:0]).dtype == weight.dtype:
            return super()._apply(fn, recurse)
        with self.computing():
            return super()._apply(fn, recurse)


def private_copy(module: M) -> M:
    """A copy whose modules, flags and devices are its own and whose weights are the module's: it takes no memory.

    Whatever is injected into it, frozen or moved, the module stays as it is. Whoever *trains* a weight of the copy
    gives it storage of its own first.
    """
    own: dict[int, Tensor] = {id(p): nn.Parameter(p.detach(), p.requires_grad) for p in module.parameters()}
    own |= {id(b): b for b in module.buffers()}
    return copy.deepcopy(module, own)


@contextmanager
def watching(backbone: Backbone) -> Iterator[list[Tensor]]:
    """Inside, the list receives the (B, heads, queries, keys) weights of every attention."""
    seen: list[Tensor] = []
    backbone.watch = seen.append
    try:
        yield seen
    finally:
        backbone.watch = None
