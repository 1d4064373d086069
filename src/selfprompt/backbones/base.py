"""The seam between a frozen transformer and everything that prompts it (see README.md in this folder)."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import Any, Literal, TypeAlias, TypeVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from selfprompt.backbones import fingerprints
from selfprompt.backbones.info import BackboneInfo, Readout
from selfprompt.backbones.precision import Original, frozen_matrices
from selfprompt.inputs import Inputs, Text
from selfprompt.marks import optional

M = TypeVar("M", bound=nn.Module)

Role = Literal["tokens", "prompts", "readout"]
"""Whom weights are of: the stream (and what is added to its keys), prompts alone, or the tokens of a mean."""


KeysValues: TypeAlias = tuple[
    Float[Tensor, "*batch heads keys head_width"], Float[Tensor, "*batch heads keys head_width"]
]
"""What tokens are to an attention that looks at them (see `Backbone.keys_values`)."""


@dataclass(frozen=True)
class Tokens:
    """A stream of tokens between two blocks.

    Args:
        x: (B, N, D) tokens: the prefix (class and register tokens) first.
        num_prefix: How many of them are prefix tokens.
        mask: (B, N) booleans, False on padding; None where there is none.
        at: (B,) positions that are read, where they differ from sample to sample.
    """

    x: Float[Tensor, "batch tokens width"]
    num_prefix: int = 0
    mask: Bool[Tensor, "batch tokens"] | None = None
    at: Int[Tensor, " batch"] | None = None


@dataclass(frozen=True)
class BlockEdit:
    """What an insertion wants of one block; the backbone carries it out, in one place.

    Args:
        extra_kv: Keys and values from `Backbone.keys_values`, seen beside those of the tokens.
        extra_mask: (B, P) booleans, which of ``extra_kv`` a sample sees; None means all.
        temperature: A scalar that divides the scores before the softmax.
        asking: (P, D) or (B, P, D) tokens that ask, too, as if they stood after the prefix; they stay in the stream.
        branch: (what the attention saw, its output), (B, N, D) each, to what is added to the stream.
        between: The stream (B, N, D) after the attention's residual, to what the MLP sees.
    """

    extra_kv: KeysValues | None = None
    extra_mask: Bool[Tensor, "batch keys"] | None = None
    temperature: Float[Tensor, ""] | None = None
    asking: Float[Tensor, "*batch prompts width"] | None = None
    branch: Callable[[Tensor, Tensor], Tensor] | None = None
    between: Callable[[Tensor], Tensor] | None = None


PLAIN = BlockEdit()


@dataclass(frozen=True)
class Context:
    """What a forward pass tells an insertion.

    Args:
        inputs: What the backbone was given.
        content: (B, M, D) patches or word embeddings, before positions.
        rows: (B,) whose prompts each sample sees, where an insertion has those of several tasks.
    """

    inputs: Inputs
    content: Float[Tensor, "batch content width"]
    rows: Int[Tensor, " batch"] | None = None


def insert(tokens: Tokens, prompts: Float[Tensor, "*batch prompts width"]) -> Tokens:
    """Put (P, D) or (B, P, D) prompts between the prefix tokens and the content."""
    first, count = tokens.num_prefix, prompts.shape[-2]
    prompts = prompts.expand(tokens.x.shape[0], *prompts.shape[-2:])
    x = torch.cat([tokens.x[:, :first], prompts, tokens.x[:, first:]], dim=1)
    mask, at = tokens.mask, tokens.at
    if mask is not None:
        mask = torch.cat([mask[:, :first], mask.new_ones(len(mask), count), mask[:, first:]], dim=1)
    return Tokens(x, first, mask, None if at is None else at + count)


def remove(tokens: Tokens, count: int) -> Tokens:
    """Take ``count`` tokens after the prefix out of the stream again."""
    first, mask, at = tokens.num_prefix, tokens.mask, tokens.at
    x = torch.cat([tokens.x[:, :first], tokens.x[:, first + count :]], dim=1)
    mask = None if mask is None else torch.cat([mask[:, :first], mask[:, first + count :]], dim=1)
    return Tokens(x, first, mask, None if at is None else at - count)


class Edits:
    """What `Backbone.run` asks on its way; as it stands, nothing is changed.

    Attributes:
        by_token: Whether what becomes of a token depends on that token and the prompts alone, so that a text may be
            run in parts.
        reads_text: Whether what is inserted into a text is made of all of it.
    """

    by_token: bool = False
    reads_text: bool = False

    @optional
    def words(
        self, content: Float[Tensor, "batch content width"], context: Context
    ) -> Float[Tensor, "batch tokens width"]:
        """(B, M, D) patches or word embeddings before positions, to such with prompts among them."""
        return content

    @optional
    def before(self, backbone: Backbone, i: int, tokens: Tokens, context: Context) -> Tokens:
        """The stream that enters block ``i``."""
        return tokens

    @optional
    def edit(self, backbone: Backbone, i: int, context: Context) -> BlockEdit:
        """What is wanted inside block ``i``."""
        return PLAIN

    @optional
    def after(self, i: int, before: Tokens, out: Tokens) -> Tokens:
        """The stream after block ``i``, given what entered it and what it made."""
        return out

    @optional
    def leave(self, tokens: Tokens, context: Context) -> Tokens:
        """After the last block: the stream that the readout sees."""
        return tokens


UNEDITED = Edits()
Offer = Callable[[int, Tensor, Tensor | None], None]
"""Called with a layer, its content tokens (B, M, D), and which of them are real, (B, M); None where all are."""
Seen = Callable[[int, Tokens, Tokens], None]
"""Called with a block's number, and the stream that enters and leaves it."""


class Backbone(nn.Module, ABC):
    """A transformer as a stream of tokens. It is always in eval mode: dropout and stochastic depth are off.

    Attributes:
        info: Where it comes from and what it wants to see.
        depth, width, num_heads: Blocks, token width D, heads of keys and values.
        num_features: Width F of the readout.
        num_patches: Content tokens M of one input: patches of an image, words of the longest text.
        num_prefix: Class and register tokens.
        patch_size: Side of a patch in pixels; 0 where there are none.
        token_fan_in: Numbers that a content token is made of: 3 p p for a patch of side p, D for a word.
        fused_attention: Whether attention may run in one fused kernel; it does where that is faster.
        original: What a `cast` backbone was made of; None for one that holds its own weights.
        cast_to: In what a `cast` backbone holds its frozen matrices; None for one that holds its own weights.
        watch: While it is set, called with a role and weights: (B, heads, queries, keys) of every attention, and
            (B, tokens) of a readout that is a mean.
    """

    info: BackboneInfo
    depth: int
    width: int
    num_heads: int
    num_features: int
    num_patches: int
    num_prefix: int
    patch_size: int
    token_fan_in: int
    fused_attention: bool
    original: Original | None = None
    cast_to: torch.dtype | None = None
    watch: Callable[[Role, Tensor], None] | None = None
    _known: tuple[str, bytes] | None = None
    sealed = False

    @property
    @optional
    def head_width(self) -> int:
        """Width of a key."""
        return self.width // self.num_heads

    @optional
    def as_input(self, inputs: Inputs, prepare: Callable[[Inputs], Inputs]) -> Inputs:
        """Inputs as somebody gave them, as the backbone takes them.

        Args:
            inputs: Such as images of uint8, or already normalised floats.
            prepare: See `View.prepare`.

        Raises:
            UserError: They are of another kind or size.
        """
        return prepare(inputs)

    @abstractmethod
    def content(self, inputs: Inputs) -> Float[Tensor, "batch content width"]:
        """(B, M, D) patches or word embeddings, before class token and positions."""

    @abstractmethod
    def run(
        self,
        inputs: Inputs,
        edits: Edits,
        seen: Seen | None = None,
        *,
        rows: Int[Tensor, " batch"] | None = None,
        blocks: int | None = None,
        read: slice | None = None,
        checkpointing: bool = False,
    ) -> Tokens:
        """All blocks, each as it is edited.

        Args:
            inputs: Normalised images, or texts.
            edits: The insertion.
            seen: Called after every block.
            rows: Told to the insertion (see `Context`).
            blocks: Stop after so many; None runs all.
            read: Of which tokens the last block's outputs are wanted; None means all.
            checkpointing: Keep no activations within blocks for the backward pass.

        Returns:
            The stream after the last block.
        """

    @optional
    def content_streams(self, inputs: Inputs, layers: int, offer: Offer) -> None:
        """Offer the content tokens of ``layers`` layers without prompts, one after the other.

        Layer 0 has the content before positions; layer i what enters block i, without the prefix.
        """
        offer(0, self.content(inputs), inputs.mask if isinstance(inputs, Text) else None)

        def seen(i: int, before: Tokens, after: Tokens) -> None:
            first = after.num_prefix
            offer(i + 1, after.x[:, first:], None if after.mask is None else after.mask[:, first:])

        if layers > 1:
            self.run(inputs, UNEDITED, seen, blocks=layers - 1)

    @abstractmethod
    def keys_values(
        self, i: int, prompts: Float[Tensor, "*batch prompts width"], normalize: bool = True
    ) -> KeysValues:
        """Keys and values that block ``i`` makes of prompts.

        Args:
            i: The block.
            prompts: (P, D), shared by the batch, or (B, P, D).
            normalize: Apply the block's own normalisation first, as to any token.

        Returns:
            Two tensors (heads, P, D / heads) or (B, heads, P, D / heads).
        """

    @abstractmethod
    def readout(self, tokens: Tokens, pool: Readout = "backbone") -> Float[Tensor, "batch features"]:
        """Tokens after the last block to (B, F) features.

        Args:
            tokens: The stream.
            pool: ``"backbone"`` pools as the backbone was built to; ``"mae_average"`` takes the final norm of the
                mean over all tokens after the prefix; ``"fresh_average"`` takes the same mean, and a LayerNorm
                without scale and shift in place of the final norm.
        """

    @optional
    def read_by(self, pool: Readout) -> slice | None:
        """Which tokens `readout` reads; None means all."""
        return None

    @optional
    def unread(self, pool: Readout = "backbone") -> tuple[nn.Module, ...]:
        """Modules that no feature depends on: they are trained by no method."""
        return ()

    def train(self, mode: bool = True) -> Backbone:
        """Stay in eval mode, whatever the model around it does."""
        return super().train(False)

    def private(self) -> Backbone:
        """A copy of its own modules and flags around the same weights (see `private_copy`)."""
        return self if self.sealed else private_copy(self)

    def seal(self) -> None:
        """From now on no weight changes and nothing is injected: the fingerprint is known, a private copy is itself.

        For whoever builds many models on a copy of his own and trains none of them: both take longer than the rest.
        """
        self.fingerprint()
        self.sealed = True

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

    def fingerprint(self) -> str:
        """SHA-256 over names, types, shapes and bytes of all weights and buffers, as they were loaded.

        What is computed from them later (`computing`) differs in the last bit between machines, and leaves it.
        """
        if self.original:
            return self.own.fingerprint()
        if self.sealed and self._known:
            return self._known[0]
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
def watching(backbone: Backbone) -> Iterator[dict[Role, list[Tensor]]]:
    """Inside, the lists receive the (B, heads, queries, keys) weights of every attention, by whom it asks."""
    found: dict[Role, list[Tensor]] = {"tokens": [], "prompts": [], "readout": []}
    outer, backbone.watch = backbone.watch, lambda role, weights: found[role].append(weights)
    try:
        yield found
    finally:
        backbone.watch = outer
